// Marks the button of the chosen clip.
function mark() {
  const clip = element.querySelector('.chosen')?.dataset.clip;
  document.querySelectorAll('#clips button').forEach((button, i) => button.setAttribute('aria-pressed', String(i) === clip));
}
watch('value', () => setTimeout(mark));
setTimeout(mark);
