/* Turns the slides one by one; without this script they stand below each other. */
const slides = [...document.querySelectorAll('section')];
const root = document.documentElement;
let current = 0;

function show(index) {
  current = Math.max(0, Math.min(slides.length - 1, index));
  slides.forEach((slide, i) => slide.classList.toggle('shown', i === current));
  document.querySelector('output').textContent = `${current + 1} / ${slides.length}`;
  history.replaceState(null, '', `#${current + 1}`);
  scrollTo(0, 0);
}

function otherTheme() {
  const isDark = root.style.colorScheme
    ? root.style.colorScheme === 'dark'
    : matchMedia('(prefers-color-scheme: dark)').matches;
  root.style.colorScheme = isDark ? 'light' : 'dark';
}

const KEYS = {
  ArrowRight: () => show(current + 1), PageDown: () => show(current + 1), ' ': () => show(current + 1),
  ArrowLeft: () => show(current - 1), PageUp: () => show(current - 1),
  Home: () => show(0), End: () => show(slides.length - 1),
  f: () => document.fullscreenElement ? document.exitFullscreen() : root.requestFullscreen(),
  t: otherTheme,
};

document.addEventListener('keydown', event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === ' ' && event.target.closest('button')) return; // it presses the button
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act) return;
  event.preventDefault();
  act();
});
document.querySelector('nav').addEventListener('click', event => {
  const button = event.target.closest('button');
  if (button) show(current + Number(button.dataset.by));
});
addEventListener('hashchange', () => show(Number(location.hash.slice(1)) - 1 || 0));
root.classList.add('paged');
show(Number(location.hash.slice(1)) - 1 || 0);
