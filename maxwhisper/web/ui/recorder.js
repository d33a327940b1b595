/* Lets a visitor choose or drop any file. The server decides whether it is a recording; a file that
   exceeds the upload limit is refused here, with a message in the same place.
   Gradio's recorder accepts only files whose type begins with "audio", which excludes videos, and
   answers others with a list of types. So every file is passed to it as audio.
   An upload says how much was sent, and can be cancelled: a large file takes minutes on a slow network.
   One function, which Gradio runs when the page has loaded. */
() => {
  const PLACE = '.recorder', INPUT = `${PLACE} input[type=file]`;
  const MB = 2 ** 20;
  const maxBytes = window.gradio_config?.max_file_size ?? Infinity;

  // The message about a file that is too large, or ''.
  function refusal(files) {
    const largest = Math.max(...[...files].map(file => file.size));
    if (largest <= maxBytes) return '';
    return `This file has ${Math.ceil(10 * largest / MB) / 10} MB, the limit is ${maxBytes / MB} MB. Upload only `
      + 'its sound as mp3 or opus, cut it, or run maxwhisper on your own machine (see the tab “Use it”).';
  }

  function refuse(event, message) { // and keep the event from Gradio
    event.preventDefault();
    event.stopPropagation();
    const place = event.target.closest(PLACE).id;
    document.dispatchEvent(new CustomEvent('refuse', {detail: {place, message}}));
  }

  function asAudio(files) {
    const transfer = new DataTransfer();
    for (const file of files) transfer.items.add(
      file.type.startsWith('audio/') ? file : new File([file], file.name, {type: 'audio/unknown'}));
    return transfer;
  }

  let place = null; // the recorder used last: it is the one that uploads
  for (const touch of ['click', 'change', 'drop']) document.addEventListener(touch, event => {
    place = event.target.closest?.(PLACE) ?? place;
  }, true);

  // Shows a button in that recorder if the upload takes more than a moment; it also tells how much was
  // sent. Returns its removal.
  function offerToCancel(cancel) {
    const button = document.createElement('button');
    const tell = ({detail}) => { button.textContent = `${detail} · Cancel upload`; };
    Object.assign(button, {type: 'button', className: 'cancel-upload', textContent: 'Cancel upload', onclick: cancel});
    const shown = setTimeout(() => place?.append(button), 400);
    document.addEventListener('sending', tell);
    return () => {
      clearTimeout(shown);
      document.removeEventListener('sending', tell);
      button.remove();
    };
  }

  // Sends an upload, and tells the page on the way how much of it was sent: `fetch` cannot.
  function send(request, address, {headers, body}) {
    return new Promise((resolve, reject) => {
      request.open('POST', address);
      for (const [name, value] of new Headers(headers)) request.setRequestHeader(name, value);
      request.upload.onprogress = ({loaded, total}) => document.dispatchEvent(
        new CustomEvent('sending', {detail: `Sending… ${Math.floor(100 * loaded / total)} %`}));
      request.onload = () => resolve(new Response(request.response, {status: request.status}));
      request.onabort = () => resolve(new Response('[]')); // Gradio reads this as: no file was uploaded
      request.onerror = () => reject(new TypeError('the connection was lost'));
      request.send(body);
    });
  }

  const realFetch = window.fetch;
  window.fetch = (address, settings) => {
    const [path, query] = String(address?.url ?? address).split('?');
    if (!path.endsWith('gradio_api/upload')) return realFetch(address, settings);
    const request = new XMLHttpRequest();
    const over = query ? offerToCancel(() => request.abort()) : () => {}; // speak.js has no query
    return send(request, address, settings).finally(over);
  };

  document.addEventListener('click', event => { // Gradio opens the file dialog with this click
    if (event.target.matches?.(INPUT)) event.target.accept = 'audio/*,video/*';
  }, true);
  document.addEventListener('change', event => { // before Gradio handles it
    const input = event.target;
    if (!input.matches?.(INPUT)) return;
    const message = refusal(input.files);
    if (!message) return void (input.files = asAudio(input.files).files);
    refuse(event, message);
    input.value = ''; // so that the same file can be chosen again
  }, true);
  document.addEventListener('drop', event => {
    const files = event.dataTransfer?.files;
    if (!event.isTrusted || !files?.length || !event.target.closest?.(PLACE)) return;
    const message = refusal(files);
    if (message) {
      refuse(event, message);
      event.target.dispatchEvent(new DragEvent('dragleave', {bubbles: true})); // removes the drop highlight
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    event.target.dispatchEvent(
      new DragEvent('drop', {bubbles: true, cancelable: true, dataTransfer: asAudio(files)}));
  }, true);
}
