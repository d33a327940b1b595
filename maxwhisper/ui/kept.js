// The whole address instead of the relative one, and a button that copies it. `element` is given by
// gradio and outlives what is drawn into it.
function complete() {
  const field = element.querySelector('.address');
  if (field) field.value = new URL(field.getAttribute('value'), location.origin + location.pathname).href;
}

element.addEventListener('click', async event => {
  const button = event.target.closest('.copy'), field = element.querySelector('.address');
  if (!button) return;
  field.select();
  try {
    await navigator.clipboard.writeText(field.value); // refused on pages without https
    button.textContent = 'Copied';
  } catch {
    button.textContent = document.execCommand('copy') ? 'Copied' : 'Press Ctrl-C';
  }
});

watch('value', complete);
complete();
