// Copies, saves and clears the text that the server put into #live-text. Gradio provides `element`
// and `trigger`.
const row = element.querySelector('.save'), status = row.querySelector('[role=status]');
const source = document.querySelector('#live-text');
const text = kind => source.querySelector(`.${kind}`)?.textContent ?? '';

function tell(words) {
  status.textContent = words;
  setTimeout(() => { if (status.textContent === words) status.textContent = ''; }, 2000);
}

async function copy() {
  try {
    await navigator.clipboard.writeText(text('txt'));
    tell('Copied.');
  } catch { // not allowed, or the page is not served over https
    tell('This browser does not allow copying. Save the text as txt.');
  }
}

function save(kind) {
  const address = URL.createObjectURL(new Blob([text(kind)], {type: 'text/plain;charset=utf-8'}));
  Object.assign(document.createElement('a'), {href: address, download: `live.${kind}`}).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

row.addEventListener('click', event => {
  const {copy: copies, save: kind, clear} = event.target.dataset;
  if (copies !== undefined) copy();
  if (kind) save(kind);
  if (clear !== undefined) trigger('clear');
});
new MutationObserver(() => { row.hidden = !text('txt').trim(); })
  .observe(source, {childList: true, subtree: true, characterData: true});
