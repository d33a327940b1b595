// Moves the replay: one clock for all tracks. Gradio passes `element` and replaces its content, so
// events are handled on it. Transcripts are set as text, never as HTML.
const GOOD_LENGTH_S = 8; // of a replay: the closest speed is selected at first
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
  race.moments = [race.end_s, ...race.engines.flatMap(e => [e.total_s, ...e.said.map(s => s[0])])]
    .sort((a, b) => a - b);
  const distance = option => Math.abs(Math.log(race.end_s / option.value / GOOD_LENGTH_S));
  const speeds = [...find('.speed').options].sort((a, b) => distance(a) - distance(b));
  find('.speed').value = speeds[0].value;
  draw();
}

// Seconds to show. With reduced motion, the time of the last event, so that nothing glides.
const shown = () => calm.matches && playing ? race.moments.findLast(moment => moment <= now) ?? 0 : now;

function draw() {
  const clock = shown();
  const finished = race.engines.filter(e => e.total_s <= clock).sort((a, b) => a.total_s - b.total_s);
  for (const engine of race.engines) {
    const track = find(`.track[data-engine="${CSS.escape(engine.engine)}"]`);
    const place = finished.indexOf(engine), said = engine.said.filter(s => s[0] <= clock);
    track.classList.toggle('finished', place >= 0);
    track.querySelector('.course i').style.width = `${100 * Math.min(clock, engine.total_s) / race.end_s}%`;
    track.querySelector('.progress').textContent = place >= 0
      ? `${PLACES[place] ?? `${place + 1}th`} · ${engine.total_s.toFixed(2)} s`
      : `${said.length} of ${engine.said.length} segments`;
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
  const message = finished.map(e => `${e.engine} done after ${e.total_s.toFixed(2)} seconds.`).join(' ');
  const announcer = find('.visually-hidden');
  if (playing && announcer.textContent !== message) announcer.textContent = message;
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
  find('.replay').classList.add('open');
  now = from;
  playing = true;
  last = performance.now();
  find('.visually-hidden').textContent = '';
  cancelAnimationFrame(frame); // restarted while playing: keep one clock
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
  find('.replay').classList.add('open');
  playing = false;
  now = +event.target.value;
  draw();
});

watch('value', begin);
begin();
