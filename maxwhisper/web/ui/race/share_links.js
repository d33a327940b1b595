// Turns the relative link into a full address, and copies it. Gradio passes `element` and replaces
// its content, so events are handled on it.
function complete() {
  const field = element.querySelector('.address');
  if (field) field.value = new URL(field.getAttribute('value'), location.origin + location.pathname).href;
}

element.addEventListener('click', async event => {
  const button = event.target.closest('.copy'), field = element.querySelector('.address');
  if (!button) return;
  field.select();
  try {
    await navigator.clipboard.writeText(field.value); // not allowed on pages without https
    button.textContent = 'Copied';
  } catch {
    button.textContent = document.execCommand('copy') ? 'Copied' : 'Press Ctrl-C';
  }
});

watch('value', complete);
complete();
