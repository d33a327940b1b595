// The lines for HTTP name the page by the address it was opened at.
function setAddress() {
  const page = (location.origin + location.pathname).replace(/\/$/, '');
  for (const code of element.querySelectorAll('code'))
    code.textContent = code.textContent.replace(/^PAGE=\S+/, () => `PAGE='${page}'`);
}
watch('value', setAddress);
setAddress();

// The copy buttons. Browsers give the clipboard only to pages that are https or local: elsewhere the
// text is selected, ready for the keyboard.
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
