// "Upload": passes a chosen or dropped file to gradio's player, in place of what is there. recorder.js
// sees it like any other.
const picker = element.querySelector('input');
const player = selector => document.querySelector(`#recording ${selector}`);

async function pass(files) {
  if (!files.length) return;
  player('[aria-label=Clear]')?.click();
  while (!player('input[type=file]')) await new Promise(requestAnimationFrame);
  const transfer = new DataTransfer();
  for (const file of files) transfer.items.add(file);
  const input = player('input[type=file]');
  input.files = transfer.files;
  input.dispatchEvent(new Event('change', {bubbles: true}));
}

element.querySelector('button').addEventListener('click', () => picker.click());
picker.addEventListener('change', event => {
  event.stopPropagation();
  pass([...picker.files]);
  picker.value = '';
});
element.addEventListener('dragover', event => event.preventDefault());
element.addEventListener('drop', event => {
  event.preventDefault();
  pass([...event.dataTransfer.files]);
});
