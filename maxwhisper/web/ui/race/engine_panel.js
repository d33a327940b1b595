// Copies a transcript, or saves it as a file. Gradio passes `element` and replaces its content, so
// events are handled on it. The files are in the page: see engine_panel.html.
async function copy(button, text) {
  try {
    await navigator.clipboard.writeText(text); // not allowed on pages without https
  } catch {
    const field = Object.assign(document.createElement('textarea'), {value: text});
    document.body.append(field);
    field.select();
    document.execCommand('copy');
    field.remove();
  }
  button.textContent = 'Copied';
  setTimeout(() => { button.textContent = 'Copy'; }, 2000);
}

element.addEventListener('click', event => {
  const button = event.target.closest('[data-take]');
  if (!button) return;
  const kind = button.dataset.take, {engine} = button.closest('.engine-panel').dataset;
  if (kind === 'copy') return void copy(button, element.querySelector('[data-take=txt]').dataset.text);
  const address = URL.createObjectURL(new Blob([button.dataset.text], {type: 'text/plain'}));
  Object.assign(document.createElement('a'), {href: address, download: `${engine}.${kind}`}).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
});
