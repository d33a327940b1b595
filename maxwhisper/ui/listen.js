// Words light up while the sound plays; a click on a word, a time or a picture seeks, and so do the
// arrow keys within a lane. The column outlives what is drawn into it: events are caught on it, media
// events while they go down, because they do not bubble.
const root = element.closest('#listen'); // `element` is given by gradio
const NEAR_S = 0.02; // a seek lands a little before what it was asked for
const sound = () => root.querySelector('audio');
const wordsOf = new WeakMap(); // lane -> its words in the order of time

function words(lane) {
  if (!wordsOf.has(lane)) {
    const found = [...lane.querySelectorAll('.w')].map(e => ({e, from: +e.dataset.from, to: +e.dataset.to}));
    wordsOf.set(lane, found.sort((a, b) => a.from - b.from));
  }
  return wordsOf.get(lane);
}

// The last word that began by `now`, or -1.
function position(list, now) {
  let low = 0, high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle].from <= now + NEAR_S) low = middle + 1; else high = middle;
  }
  return low - 1;
}

function light(lane, now) {
  const list = words(lane), word = list[position(list, now)];
  const spoken = word && now < word.to ? word.e : null;
  const before = lane.querySelector('.w.now');
  if (before === spoken) return;
  before?.classList.remove('now');
  if (!spoken) return;
  spoken.classList.add('now');
  const middle = spoken.offsetTop - lane.offsetTop - (lane.clientHeight - spoken.offsetHeight) / 2;
  lane.scrollTop = middle; // the lane scrolls, never the page
}

function draw() {
  const audio = sound();
  if (!audio) return;
  root.querySelectorAll('.voice .words').forEach(lane => light(lane, audio.currentTime));
  const head = root.querySelector('.playhead');
  if (head) head.style.left = `${100 * audio.currentTime / head.parentElement.dataset.seconds}%`;
  if (!audio.paused) requestAnimationFrame(draw);
}

function seek(seconds, play) {
  const audio = sound();
  audio.currentTime = seconds;
  if (play && audio.paused) audio.play().catch(() => {}); // refused when it is paused again at once
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
