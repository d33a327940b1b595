// "Speak": one click records, a pause or a second click ends, and the race begins. Follows
// microphone.js. Gradio provides `element` and `trigger`; Python gets the path of the upload.
const SILENCE_S = 1.5; // of a pause that ends the recording
const UNHEARD_S = 8; // without any speech: then it ends, too
const MAX_S = 60;
const FRAME_S = 0.05; // between two looks at the level
const MARGIN_S = 0.25; // kept on both sides of the speech by "Trim"
const FLOOR = 0.004, LOUDER = 3; // speech is louder than that, and than the quietest moments
const button = element.querySelector('.speak-now'), note = element.querySelector('small');
const label = element.querySelector('.label'), meter = element.querySelector('.meter');
const IDLE = note.textContent;
const trim = element.querySelector('.trim');
let current = null; // the recording that is being made
let last = null; // the one that was made: samples, rate, and the seconds of its speech

function say(text) { if (note.textContent !== text) note.textContent = text; }

function refuse(message) {
  document.dispatchEvent(new CustomEvent('refuse', {detail: {place: 'recording', message}}));
}

function record() {
  const made = {blocks: [], rate: 48000, seconds: 0, from: null, to: 0, quiet: 1, sum: 0, n: 0};
  made.over = new Promise(resolve => { made.end = resolve; });
  return made;
}

// Takes a block of samples; after each frame it shows the level, and ends the recording if it is over.
function hear(made, samples) {
  made.blocks.push(samples);
  made.seconds += samples.length / made.rate;
  for (const v of samples) made.sum += v * v;
  made.n += samples.length;
  if (made.n < FRAME_S * made.rate || current !== made) return;
  const level = Math.sqrt(made.sum / made.n);
  made.sum = made.n = 0;
  made.quiet = Math.min(made.quiet * 1.01, Math.max(level, 1e-4));
  if (level > Math.max(FLOOR, LOUDER * made.quiet)) {
    made.from ??= made.seconds - FRAME_S;
    made.to = made.seconds;
  }
  show(made, level);
  const isSilent = made.from !== null && made.seconds - made.to > SILENCE_S;
  if (isSilent || made.seconds > MAX_S || (made.from === null && made.seconds > UNHEARD_S)) made.end();
}

function show(made, level) {
  const percent = Math.round(100 * Math.min(1, Math.max(0, 1 + Math.log10(level + 1e-6) / 2.5)));
  meter.firstElementChild.style.width = `${percent}%`;
  meter.setAttribute('aria-valuenow', percent);
  label.textContent = `Stop · ${made.seconds.toFixed(1)} s`;
  say(made.from === null ? 'Listening: say a sentence.' : 'Pause or click, and the race begins.');
}

function wav(made, from = 0, to = made.seconds) {
  const first = Math.floor(from * made.rate), n = Math.floor((to - from) * made.rate);
  const all = new DataView(new ArrayBuffer(44 + 2 * n));
  const word = (at, text) => [...text].forEach((c, i) => all.setUint8(at + i, c.charCodeAt(0)));
  word(0, 'RIFF'); all.setUint32(4, 36 + 2 * n, true); word(8, 'WAVEfmt ');
  all.setUint32(16, 16, true); all.setUint16(20, 1, true); all.setUint16(22, 1, true);
  all.setUint32(24, made.rate, true); all.setUint32(28, 2 * made.rate, true);
  all.setUint16(32, 2, true); all.setUint16(34, 16, true);
  word(36, 'data'); all.setUint32(40, 2 * n, true);
  let at = -first;
  for (const block of made.blocks) for (const v of block) {
    if (at >= 0 && at < n) all.setInt16(44 + 2 * at, Math.max(-1, Math.min(1, v)) * 32767, true);
    at += 1;
  }
  return new Blob([all], {type: 'audio/wav'});
}

async function send(sound) {
  const form = new FormData();
  form.append('files', sound, 'recording.wav');
  const answer = await fetch('gradio_api/upload', {method: 'POST', body: form});
  if (!answer.ok) {
    const text = await answer.text();
    throw new Error(JSON.parse(text.startsWith('{') ? text : 'null')?.detail ?? text);
  }
  return (await answer.json())[0];
}

async function speak() {
  if (current) return current.end();
  const made = current = record();
  let microphone = null;
  trigger('start_recording');
  trim.hidden = true;
  say('Waiting for the microphone…');
  button.classList.add('on');
  try {
    microphone = await openMicrophone(samples => hear(made, samples), 'upload a file or try a clip');
    made.rate = microphone.rate;
    await made.over;
  } catch (error) { refuse(error.message); }
  microphone?.stop();
  current = null;
  button.classList.remove('on');
  label.textContent = 'Speak';
  meter.firstElementChild.style.width = 0;
  say(IDLE);
  if (!microphone || !made.seconds) return;
  last = made;
  if (await give('stop_recording', wav(made))) offerToTrim();
}

// Uploads the sound and passes its path on. False, with a message, if the server refuses it.
async function give(event, sound) {
  const tell = ({detail}) => say(detail);
  say('Sending…');
  document.addEventListener('sending', tell);
  try {
    trigger(event, {path: await send(sound)});
    return true;
  } catch (error) {
    refuse(`The recording was not sent: ${error.message}`);
    return false;
  } finally {
    document.removeEventListener('sending', tell);
    say(IDLE);
  }
}

function speech() {
  return [Math.max(0, last.from - MARGIN_S), Math.min(last.seconds, last.to + MARGIN_S)];
}

function offerToTrim() {
  if (last.from === null) return;
  const [from, to] = speech();
  trim.hidden = last.seconds - (to - from) < 0.3;
  trim.textContent = `Trim to speech (${(to - from).toFixed(1)} of ${last.seconds.toFixed(1)} s)`;
}

button.addEventListener('click', speak);
trim.addEventListener('click', () => {
  trim.hidden = true;
  give('edit', wav(last, ...speech()));
});
document.addEventListener('click', event => { // another recording is chosen
  if (event.target.closest?.('.clips button, #upload, #recording [aria-label=Clear]')) trim.hidden = true;
}, true);
