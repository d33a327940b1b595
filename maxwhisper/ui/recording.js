/* Any file may be chosen or dropped: whether it is a recording, the server says, in words.
   Gradio's recorder takes what the browser calls audio by its name, which no video is, and answers the
   rest with a list of types. So every file is handed to it under the name of audio.
   One function, run by gradio when the page has loaded. */
() => {
  const INPUT = ':is(#recording, #layers-recording) input[type=file]';
  const PLACE = '#recording, #layers-recording';

  function asAudio(files) {
    const given = new DataTransfer();
    for (const file of files) given.items.add(
      file.type.startsWith('audio/') ? file : new File([file], file.name, {type: 'audio/unknown'}));
    return given;
  }

  document.addEventListener('click', event => { // gradio asks for a file by this click
    if (event.target.matches?.(INPUT)) event.target.accept = 'audio/*,video/*';
  }, true);
  document.addEventListener('change', event => { // before gradio hears of it
    if (event.target.matches?.(INPUT)) event.target.files = asAudio(event.target.files).files;
  }, true);
  document.addEventListener('drop', event => {
    const files = event.dataTransfer?.files;
    if (!event.isTrusted || !files?.length || !event.target.closest?.(PLACE)) return;
    event.preventDefault();
    event.stopPropagation();
    event.target.dispatchEvent(
      new DragEvent('drop', {bubbles: true, cancelable: true, dataTransfer: asAudio(files)}));
  }, true);
}
