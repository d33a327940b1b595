// Passes a click on the button inside on to the server. Gradio provides `element` and `trigger`.
element.addEventListener('click', event => {
  if (event.target.closest('button')) trigger('click');
});
