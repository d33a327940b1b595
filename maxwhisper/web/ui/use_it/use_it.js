// The lines for HTTP and MCP use the address at which this page was opened.
function setAddress() {
  const page = (location.origin + location.pathname).replace(/\/$/, '');
  for (const code of element.querySelectorAll('code'))
    code.textContent = code.textContent.replaceAll('http://127.0.0.1:7860', () => page);
}
watch('value', setAddress);
setAddress();

// The copy buttons. Browsers allow the clipboard only on https and local pages; elsewhere the text is
// selected for Ctrl+C.
element.addEventListener('click', async event => {
  const button = event.target.closest('.copy');
  if (!button) return;
  const code = button.closest('figure').querySelector('code');
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = 'copied';
  } catch {
    getSelection().selectAllChildren(code);
    button.textContent = 'press Ctrl+C';
  }
  setTimeout(() => { button.textContent = 'copy'; }, 2000);
});
