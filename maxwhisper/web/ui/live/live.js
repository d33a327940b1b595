// Sends the microphone's samples to the server, one chunk after the other, until it answers "over".
// Gradio provides `element` and `trigger`. Python opens the session that `token` names.
const SEND_EVERY_MS = 250;
const OPEN_TIMEOUT_MS = 8000; // a session that has not opened by then was refused
const CAPTURE = `registerProcessor('capture', class extends AudioWorkletProcessor {
  process([[samples]]) { if (samples) this.port.postMessage(samples.slice()); return true; }
});`;
const button = element.querySelector('button'), note = element.querySelector('p');
let isOn = false;

function int16(blocks) {
  const all = new Int16Array(blocks.reduce((n, block) => n + block.length, 0));
  let at = 0;
  for (const block of blocks) for (const v of block) all[at++] = Math.max(-1, Math.min(1, v)) * 32767;
  return all;
}

async function capture(blocks) {
  const stream = await navigator.mediaDevices.getUserMedia({audio: {channelCount: 1}});
  const context = new AudioContext();
  const stop = () => { stream.getTracks().forEach(track => track.stop()); context.close(); };
  try {
    const module = URL.createObjectURL(new Blob([CAPTURE], {type: 'text/javascript'}));
    await context.audioWorklet.addModule(module);
    URL.revokeObjectURL(module);
    const node = new AudioWorkletNode(context, 'capture', {numberOfOutputs: 0});
    node.port.onmessage = message => blocks.push(message.data);
    context.createMediaStreamSource(stream).connect(node);
  } catch (error) { stop(); throw error; }
  return {rate: context.sampleRate, stop};
}

async function send(blocks, token, rate) {
  const started = performance.now();
  let unsent = [], isOpen = false;
  for (;;) {
    await new Promise(wake => setTimeout(wake, SEND_EVERY_MS));
    unsent.push(...blocks.splice(0));
    const answer = await fetch(`live/${token}?rate=${rate}`, {method: 'POST', body: int16(unsent)});
    const state = await answer.text();
    if (state === 'listening') { isOpen = true; unsent = []; } // before that, samples stay and are sent again
    else if (state !== 'unknown' || isOpen || performance.now() - started > OPEN_TIMEOUT_MS) return;
  }
}

button.addEventListener('click', async () => {
  if (isOn) return;
  isOn = true;
  button.setAttribute('aria-disabled', 'true');
  note.textContent = 'Waiting for the microphone…';
  const blocks = [];
  let microphone = null;
  try {
    microphone = await capture(blocks);
    note.textContent = 'The microphone is on.';
    document.querySelector('#live').scrollIntoView({block: 'nearest'});
    const token = crypto.randomUUID();
    trigger('click', {token});
    await send(blocks, token, microphone.rate);
    note.textContent = 'The microphone is off.';
  } catch (error) {
    note.textContent = microphone ? 'The connection was lost.'
      : 'No microphone. Allow it in your browser, or play a clip.';
  }
  microphone?.stop();
  isOn = false;
  button.setAttribute('aria-disabled', 'false');
});
