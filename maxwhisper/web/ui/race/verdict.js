// Tells screen readers a verdict, once, when it changes. Gradio passes `element` and replaces its
// content, so that a live region inside of it would be read at random.
const sentence = () => element.querySelector('h2, .now')?.textContent.trim() ?? '';
let known = sentence();

watch('value', () => {
  const now = sentence();
  if (now && now !== known) document.dispatchEvent(new CustomEvent('tell', {detail: now}));
  known = now;
});
