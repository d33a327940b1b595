// Opens the microphone: `onSamples` gets Float32Array blocks. Returns the rate in Hz and `stop`.
// Errors are sentences for the visitor.
const CAPTURE = `registerProcessor('capture', class extends AudioWorkletProcessor {
  process([[samples]]) { if (samples) this.port.postMessage(samples.slice()); return true; }
});`;
const NO_HTTPS = 'Browsers allow the microphone only on pages served over https or from this machine. Here, upload a file or try a clip.';
const REASONS = {
  NotAllowedError: 'The microphone was refused. Allow it beside the address of this page in your browser, then try again.',
  NotFoundError: 'No microphone was found. Connect one and try again, or upload a file.',
  NotReadableError: 'The microphone is used by another program. Close that program and try again.',
};

async function openMicrophone(onSamples) {
  if (!navigator.mediaDevices?.getUserMedia) throw new Error(NO_HTTPS);
  const stream = await navigator.mediaDevices.getUserMedia({audio: {channelCount: 1}}).catch(error => {
    throw new Error(REASONS[error.name] ?? `The microphone cannot be used (${error.name}). Upload a file or try a clip.`);
  });
  const context = new AudioContext();
  const stop = () => { stream.getTracks().forEach(track => track.stop()); context.close(); };
  try {
    const module = URL.createObjectURL(new Blob([CAPTURE], {type: 'text/javascript'}));
    await context.audioWorklet.addModule(module);
    URL.revokeObjectURL(module);
    const node = new AudioWorkletNode(context, 'capture', {numberOfOutputs: 0});
    node.port.onmessage = message => onSamples(message.data);
    context.createMediaStreamSource(stream).connect(node);
  } catch (error) { stop(); throw error; }
  return {rate: context.sampleRate, stop};
}
