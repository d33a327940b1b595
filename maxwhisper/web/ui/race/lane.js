// Ticks the clock of a running lane in tenths, keeps its newest words in view, and tells screen
// readers its end. The server only says when a round began: with every redraw, how long ago that was.
// Gradio passes `element` and replaces its content.
const TICK_MS = 100;
let turn = '', began = 0, timer = 0, wasRacing = false;

function tick() {
  const clock = element.querySelector('.ticking');
  if (clock) clock.textContent = `${(Math.max(0, performance.now() - began) / 1000).toFixed(1)} s`;
}

function follow() {
  const clock = element.querySelector('.ticking');
  clearInterval(timer);
  if (!clock) {
    turn = '';
    return;
  }
  const since = performance.now() - 1000 * clock.dataset.elapsed;
  // A redraw that was slow to arrive does not set the clock back.
  began = clock.dataset.turn === turn ? Math.min(began, since) : since;
  turn = clock.dataset.turn;
  const words = element.querySelector('.words');
  words.scrollTop = words.scrollHeight;
  tick();
  timer = setInterval(tick, TICK_MS);
}

function tellTheEnd() {
  const panel = element.querySelector('.engine-panel'), {said} = panel.dataset;
  if (wasRacing && said) document.dispatchEvent(new CustomEvent('tell', {detail: said}));
  wasRacing = panel.matches('.running, .waiting');
}

watch('value', () => {
  follow();
  tellTheEnd();
});
follow();
