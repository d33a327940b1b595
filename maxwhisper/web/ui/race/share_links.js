// Turns the relative link into a full address, and copies it. The address bar carries the race that is
// shown, so that reload and back keep it. Gradio passes `element` and replaces its content, so events
// are handled on it.
function complete() {
  const field = element.querySelector('.address');
  if (field) field.value = new URL(field.getAttribute('value'), location.origin + location.pathname).href;
}

function carry() {
  const run = element.querySelector('[data-run]')?.dataset.run, here = new URL(location.href);
  if (run) here.searchParams.set('run', run);
  else here.searchParams.delete('run');
  if (here.href !== location.href) history.replaceState(history.state, '', here);
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

watch('value', () => {
  complete();
  carry();
});
complete();
