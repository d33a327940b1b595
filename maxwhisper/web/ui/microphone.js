// Opens the microphone, for Race and for Live: `onSamples` gets Float32Array blocks, `onEnded` is called
// if the browser takes the microphone away. Returns the rate in Hz and `stop`. Errors are sentences for
// the visitor; `instead` says what else he can do here.
const CAPTURE = `registerProcessor('capture', class extends AudioWorkletProcessor {
  process([[samples]]) { if (samples) this.port.postMessage(samples.slice()); return true; }
});`;
const REASONS = {
  NoHttps: 'Browsers allow the microphone only on pages served over https or from this machine.',
  NotAllowedError: 'The microphone was refused. Allow it beside the address of this page in your browser, then try again.',
  NotFoundError: 'No microphone was found. Connect one and try again.',
  NotReadableError: 'The microphone is used by another program. Close that program and try again.',
};

async function openMicrophone(onSamples, instead, onEnded = () => {}) {
  const refusal = name => new Error(
    `${REASONS[name] ?? `The microphone cannot be used (${name}).`} Or ${instead}.`);
  if (!navigator.mediaDevices?.getUserMedia) throw refusal('NoHttps');
  const stream = await navigator.mediaDevices.getUserMedia({audio: {channelCount: 1}})
    .catch(error => { throw refusal(error.name); });
  const context = new AudioContext();
  const stop = () => { stream.getTracks().forEach(track => track.stop()); context.close(); };
  try {
    const module = URL.createObjectURL(new Blob([CAPTURE], {type: 'text/javascript'}));
    await context.audioWorklet.addModule(module);
    URL.revokeObjectURL(module);
    const node = new AudioWorkletNode(context, 'capture', {numberOfOutputs: 0});
    node.port.onmessage = message => onSamples(message.data);
    context.createMediaStreamSource(stream).connect(node);
  } catch (error) { stop(); throw refusal(error.name); }
  stream.getTracks()[0].onended = onEnded;
  return {rate: context.sampleRate, stop};
}
