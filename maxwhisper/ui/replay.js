// Moves the replay: one clock for all tracks. `element` is given by gradio and outlives what is drawn
// into it: events are caught on it. Texts are set as text, never as HTML.
const GOOD_LENGTH_S = 8; // of a replay: the speed that comes nearest to it is chosen first
const PLACES = ['1st', '2nd', '3rd'];
const find = selector => element.querySelector(selector);
const calm = matchMedia('(prefers-reduced-motion: reduce)');
let race = null, now = 0, playing = false, last = 0, frame = 0;

function begin() {
  const root = find('.replay');
  playing = false;
  race = root && JSON.parse(root.dataset.race);
  if (!race) return;
  now = race.end_s;
  race.moments = [race.end_s, ...race.lanes.flatMap(l => [l.total_s, ...l.said.map(s => s[0])])]
    .sort((a, b) => a - b);
  const distance = option => Math.abs(Math.log(race.end_s / option.value / GOOD_LENGTH_S));
  const speeds = [...find('.speed').options].sort((a, b) => distance(a) - distance(b));
  find('.speed').value = speeds[0].value;
  draw();
}

// Seconds to show. With reduced motion, those of the last thing that happened, so nothing glides.
const shown = () => calm.matches && playing ? race.moments.findLast(moment => moment <= now) ?? 0 : now;

function draw() {
  const clock = shown();
  const finished = race.lanes.filter(l => l.total_s <= clock).sort((a, b) => a.total_s - b.total_s);
  for (const lane of race.lanes) {
    const track = find(`.track[data-engine="${CSS.escape(lane.engine)}"]`);
    const place = finished.indexOf(lane), said = lane.said.filter(s => s[0] <= clock);
    track.classList.toggle('finished', place >= 0);
    track.querySelector('.course i').style.width = `${100 * Math.min(clock, lane.total_s) / race.end_s}%`;
    track.querySelector('.progress').textContent = place >= 0
      ? `${PLACES[place] ?? `${place + 1}th`} · ${lane.total_s.toFixed(2)} s`
      : `${said.length} of ${lane.said.length} segments`;
    const words = track.querySelector('.said'), text = said.map(s => s[1]).join(' ');
    if (words.textContent !== text) {
      words.textContent = text;
      words.scrollTop = words.scrollHeight;
    }
  }
  const position = find('.position');
  position.value = clock;
  position.setAttribute('aria-valuetext', `${clock.toFixed(1)} seconds`);
  find('.clock').textContent = `${clock.toFixed(2)} s`;
  find('.play').textContent = playing ? 'Pause' : 'Replay';
  const told = finished.map(l => `${l.engine} done after ${l.total_s.toFixed(2)} seconds.`).join(' ');
  const teller = find('.unseen');
  if (playing && teller.textContent !== told) teller.textContent = told;
}

function tick(at) {
  if (!playing || !race) return;
  now = Math.min(race.end_s, now + (at - last) / 1000 * find('.speed').value);
  last = at;
  draw();
  if (now < race.end_s) frame = requestAnimationFrame(tick);
  else { playing = false; draw(); }
}

function play(from) {
  now = from;
  playing = true;
  last = performance.now();
  find('.unseen').textContent = '';
  cancelAnimationFrame(frame); // from the start while it plays: one clock, not two
  frame = requestAnimationFrame(tick);
}

element.addEventListener('click', event => {
  if (!race) return;
  if (event.target.closest('.restart')) play(0);
  else if (event.target.closest('.play')) {
    if (playing) { playing = false; draw(); }
    else play(now >= race.end_s ? 0 : now);
  }
});

element.addEventListener('input', event => {
  if (!race || !event.target.matches('.position')) return;
  playing = false;
  now = +event.target.value;
  draw();
});

watch('value', begin);
begin();
