/* Any file may be chosen or dropped: whether it is a recording, the server says, in words; that it is
   too large to be sent is said here, in the same place.
   Gradio's recorder takes what the browser calls audio by its name, which no video is, and answers the
   rest with a list of types. So every file is handed to it under the name of audio.
   And sending may be stopped: a large file takes minutes on a slow network.
   One function, run by gradio when the page has loaded. */
() => {
  const PLACE = '.recorder', INPUT = `${PLACE} input[type=file]`;
  const MB = 2 ** 20;
  const most = window.gradio_config?.max_file_size ?? Infinity; // bytes

  // What is told of a file that is too large, or nothing.
  function refusal(files) {
    const largest = Math.max(...[...files].map(file => file.size));
    if (largest <= most) return '';
    return `expected a file of at most ${most / MB} MB, got ${Math.ceil(10 * largest / MB) / 10} MB: send `
      + 'its sound alone, as mp3 or opus, cut it, or run it on your own machine, as the tab “Use it” shows';
  }

  function refuse(event, words) { // gradio never hears of it
    event.preventDefault();
    event.stopPropagation();
    const place = event.target.closest(PLACE).id;
    document.dispatchEvent(new CustomEvent('refuse', {detail: {place, words}}));
  }

  function asAudio(files) {
    const given = new DataTransfer();
    for (const file of files) given.items.add(
      file.type.startsWith('audio/') ? file : new File([file], file.name, {type: 'audio/unknown'}));
    return given;
  }

  let place = null; // of the recorder that was touched last: it is the one that sends
  for (const touch of ['click', 'change', 'drop']) document.addEventListener(touch, event => {
    place = event.target.closest?.(PLACE) ?? place;
  }, true);

  // A button in that recorder, while something is sent for more than a moment; returns its end.
  function offerToStop(stop) {
    const button = document.createElement('button');
    Object.assign(button, {type: 'button', className: 'stop-sending', textContent: 'Stop sending', onclick: stop});
    const shown = setTimeout(() => place?.append(button), 400);
    return () => { clearTimeout(shown); button.remove(); };
  }

  const fetched = window.fetch;
  window.fetch = (address, settings) => {
    if (!String(address?.url ?? address).includes('/gradio_api/upload?')) return fetched(address, settings);
    const sending = new AbortController();
    const over = offerToStop(() => sending.abort());
    return fetched(address, {...settings, signal: sending.signal})
      .catch(error => {
        if (!sending.signal.aborted) throw error;
        return new Response('[]'); // gradio knows no Stop, but it knows that nothing was sent
      })
      .finally(over);
  };

  document.addEventListener('click', event => { // gradio asks for a file by this click
    if (event.target.matches?.(INPUT)) event.target.accept = 'audio/*,video/*';
  }, true);
  document.addEventListener('change', event => { // before gradio hears of it
    const input = event.target;
    if (!input.matches?.(INPUT)) return;
    const words = refusal(input.files);
    if (!words) return void (input.files = asAudio(input.files).files);
    refuse(event, words);
    input.value = ''; // so that the same file can be chosen again
  }, true);
  document.addEventListener('drop', event => {
    const files = event.dataTransfer?.files;
    if (!event.isTrusted || !files?.length || !event.target.closest?.(PLACE)) return;
    const words = refusal(files);
    if (words) {
      refuse(event, words);
      event.target.dispatchEvent(new DragEvent('dragleave', {bubbles: true})); // the frame goes out
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    event.target.dispatchEvent(
      new DragEvent('drop', {bubbles: true, cancelable: true, dataTransfer: asAudio(files)}));
  }, true);
}
