// Runs the check or group whose button is clicked. Each result redraws the board, so the focus goes
// back to the clicked button. Gradio provides `element`, `trigger` and `watch`.
let clicked = null;
element.addEventListener('click', event => {
  const button = event.target.closest('button[data-run]');
  if (!button || button.getAttribute('aria-disabled') === 'true') return;
  clicked = button.dataset.run;
  trigger('click', {choice: clicked});
});
watch('value', () => {
  if (clicked === null || document.activeElement !== document.body) return;
  element.querySelector(`[data-run="${CSS.escape(clicked)}"]`)?.focus({preventScroll: true});
});
