// Highlights words while the recording plays. A click on a word, a time or the waveform seeks; in a
// transcript the arrow keys seek from word to word. Gradio replaces the content of the column, so
// events are handled on the column itself; media events in the capture phase, as they do not bubble.
const root = element.closest('#listen'); // Gradio passes `element`
const NEAR_S = 0.02; // a seek ends slightly before its target
const sound = () => root.querySelector('audio');
const wordsOf = new WeakMap(); // transcript -> its words in order of time

function words(transcript) {
  if (!wordsOf.has(transcript)) {
    const found = [...transcript.querySelectorAll('.w')].map(e => ({e, from: +e.dataset.from, to: +e.dataset.to}));
    wordsOf.set(transcript, found.sort((a, b) => a.from - b.from));
  }
  return wordsOf.get(transcript);
}

// Index of the last word that started by `now`, or -1.
function position(list, now) {
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle].from <= now + NEAR_S) low = middle + 1; else high = middle;
  }
  return low - 1;
}

function light(transcript, now) {
  const list = words(transcript), word = list[position(list, now)];
  const spoken = word && now < word.to ? word.e : null;
  const before = transcript.querySelector('.w.now');
  if (before === spoken) return;
  before?.classList.remove('now');
  if (!spoken) return;
  spoken.classList.add('now');
  const middle = spoken.offsetTop - transcript.offsetTop - (transcript.clientHeight - spoken.offsetHeight) / 2;
  transcript.scrollTop = middle; // scroll the transcript, not the page
}

function draw() {
  const audio = sound();
  if (!audio) return;
  root.querySelectorAll('.voice .words').forEach(transcript => light(transcript, audio.currentTime));
  const head = root.querySelector('.playhead');
  if (head) head.style.left = `${100 * audio.currentTime / head.parentElement.dataset.seconds}%`;
  if (!audio.paused) requestAnimationFrame(draw);
}

function seek(seconds, play) {
  const audio = sound();
  audio.currentTime = seconds;
  if (play && audio.paused) audio.play().catch(() => {}); // rejected if paused again immediately
}

root.addEventListener('play', draw, true);
root.addEventListener('seeking', draw, true);
root.addEventListener('error', () => root.querySelector('.sound-gone').removeAttribute('hidden'), true);

root.addEventListener('click', event => {
  const word = event.target.closest('[data-from]');
  const picture = event.target.closest('.sound');
  if (word) seek(+word.dataset.from, true);
  else if (picture) {
    const box = picture.getBoundingClientRect();
    seek(picture.dataset.seconds * (event.clientX - box.left) / box.width, false);
  }
});

root.addEventListener('keydown', event => {
  const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
  if (!step || !event.target.matches('.voice .words')) return;
  const list = words(event.target);
  const next = list[Math.max(0, position(list, sound().currentTime) + step)];
  if (next) seek(next.from, false);
  event.preventDefault();
});
