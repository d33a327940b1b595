// Draws the header again when the server says that something changed, and only while somebody looks
// at the page: a browser opens six connections to a server, and other tabs of this page need some.
// Gradio provides `element` and `trigger`.
const AGAIN_MS = 10_000; // after a refusal; the browser itself repeats a connection that broke
let stream = null;

function listen() {
  if (document.hidden) {
    stream?.close();
    stream = null;
  } else if (stream === null) {
    stream = new EventSource('news');
    stream.onmessage = () => trigger('click');
    stream.onerror = () => {
      if (stream?.readyState !== EventSource.CLOSED) return;
      stream = null;
      setTimeout(listen, AGAIN_MS);
    };
  }
}

document.addEventListener('visibilitychange', listen);
listen();
