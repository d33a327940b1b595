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
