/* Presentation: a guided tour (?judge=1), keys, a stage mode, dialogs, what screen readers are told.
   One function, which Gradio runs when the page has loaded. It reads the page and clicks its
   controls; it knows no engine and sends nothing. All text is set as text. */
() => {
  const find = selector => document.querySelector(selector);
  const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
  // Browsers allow microphones only on https and local pages; elsewhere the page shows a note.
  document.documentElement.style.setProperty('--insecure-only', isSecureContext ? 'none' : 'block');
  document.documentElement.style.setProperty('--secure-only', isSecureContext ? 'block' : 'none');

  requestAnimationFrame(() => document.documentElement.classList.add('drawn')); // see theme.py

  function make(name, properties = {}, ...children) {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  }

  function tabs() {
    return [...document.querySelectorAll('[role=tab]')].filter(tab => tab.checkVisibility());
  }

  function openTab(name) {
    tabs().find(tab => tab.textContent.trim() === name)?.click();
  }

  function press(selector) {
    const button = find(selector);
    if (button && !button.disabled) button.click();
  }

  // ---- Stage mode: verdict and lanes in large type, full screen if the browser allows it.

  function setStage(on) {
    document.documentElement.classList.toggle('stage', on);
    find('[data-do=stage]')?.setAttribute('aria-pressed', String(on));
    if (on) openTab('Race');
    if (on) document.documentElement.requestFullscreen?.().catch(() => {});
    else if (document.fullscreenElement) document.exitFullscreen();
    dispatchEvent(new Event('resize')); // figures adapt to the new size
  }

  const isStage = () => document.documentElement.classList.contains('stage');
  document.addEventListener('fullscreenchange', () => {
    if (!document.fullscreenElement && isStage()) setStage(false);
  });

  // ---- The tour: 60 seconds through the real page, and the time that its race takes.

  const isRacing = () => find('.engine-panel.running, .engine-panel.waiting') !== null;
  const canRun = () => !find('#run').disabled;

  // What a step does by itself. Each returns true once nothing is left to do.
  function choose() {
    if (!isRacing() && !canRun()) press('#clips button');
    return true;
  }

  function race() {
    if (isRacing()) return true;
    if (!canRun()) return false; // the clip is on its way
    press('#run');
    return true;
  }

  const STEPS = [
    {s: 7, tab: 'Race', at: '.band', title: 'Three engines, one recording, one clock',
      text: 'openai-whisper, faster-whisper and maxwhisper, this project’s Whisper in MAX, get the same samples, weights and settings.'},
    {s: 5, tab: 'Race', at: '#clips', title: 'Choose a recording', auto: choose,
      text: 'Your own voice, an audio or video file, or one of these clips. The tour takes the first clip.'},
    {s: 12, tab: 'Race', at: '.engine-panels', phone: '#panel-maxwhisper', title: 'Race', waits: true, auto: race,
      text: 'The engines run one at a time, alone on the machine. Watch the text arrive.'},
    {s: 7, tab: 'Listen & diff', at: '[role=tablist]', title: 'Listen and compare',
      text: 'Click a word to hear it. Differences between the transcripts are marked word by word.'},
    {s: 7, tab: 'Where the time goes', at: '[role=tablist]', title: 'Where the time goes',
      text: 'The stages of each engine in this race, and recorded benchmarks.'},
    {s: 7, tab: 'Components', at: '#run-checks', title: 'Check every component',
      text: 'Each part of the network is compared with an independent reference, here and now. Break one on purpose, and its check fails.'},
    {s: 5, tab: 'Live', at: '#live', title: 'Live',
      text: 'Speak and read along. Solid words are final. Dotted words may still change.'},
    {s: 4, tab: 'Use it', at: '[data-do=share]', title: 'Use it yourself',
      text: 'Scan the address with a phone, or copy a snippet from this tab.', act: ['Show the address', '[data-do=share]']},
    {s: 6, tab: 'Race', at: '.band', title: 'The verdict',
      text: 'One number, its range over the rounds, and whether the text is the same. Replay shows the three side by side.'},
  ];
  const TICK_S = 0.25;
  const ACT_AFTER_S = 1.5; // time to read before a step does something
  const LOOK_S = 5; // to look at the result, when the tour has waited for a race
  const MAX_WAIT_S = 120; // for a race: the next steps show its result
  const WAITING = 'The race is still running. The tour waits for its end; “Next” continues now.';
  const tour = {index: -1, left: 0, waited: 0, acted: false, paused: calm, timer: 0, from: null};
  const title = make('h2', {id: 'tour-title'}), words = make('p'), count = make('span', {className: 'count'});
  const clock = make('i'), act = make('button', {type: 'button', className: 'act'});
  const back = make('button', {type: 'button', textContent: '← Back', onclick: () => show(tour.index - 1)});
  const pause = make('button', {type: 'button', onclick: () => setPaused(!tour.paused)});
  const next = make('button', {type: 'button', textContent: 'Next →', onclick: () => show(tour.index + 1)});
  const end = make('button', {type: 'button', textContent: 'End tour', onclick: endTour});
  const card = make('section', {id: 'tour', hidden: true},
    make('div', {className: 'clock'}, clock), count, title, words, act,
    make('div', {className: 'row'}, back, pause, next, end));
  card.setAttribute('role', 'dialog');
  card.setAttribute('aria-labelledby', 'tour-title');
  words.setAttribute('aria-live', 'polite');
  act.onclick = () => press(STEPS[tour.index].act[1]);

  function setPaused(paused) {
    tour.paused = paused;
    pause.textContent = paused ? 'Continue' : 'Pause';
  }

  function show(index) {
    find('.toured')?.classList.remove('toured');
    if (index >= STEPS.length) return endTour();
    const step = STEPS[tour.index = Math.max(index, 0)];
    tour.left = step.s;
    tour.waited = 0;
    tour.acted = !step.auto;
    openTab(step.tab);
    title.textContent = step.title;
    words.textContent = step.text;
    count.textContent = `${tour.index + 1} of ${STEPS.length}`;
    act.hidden = !step.act;
    act.textContent = step.act?.[0] ?? '';
    back.disabled = tour.index === 0;
    next.textContent = tour.index === STEPS.length - 1 ? 'Done' : 'Next →';
    setTimeout(() => { // a tab is drawn when it is opened
      const isPhone = innerWidth <= 640;
      const target = tour.index === index && find((isPhone && step.phone) || step.at);
      if (!target) return;
      target.classList.add('toured');
      target.scrollIntoView({block: isPhone ? 'start' : 'center', behavior: calm ? 'auto' : 'smooth'});
    }, 150);
  }

  // Put the card into the first corner where it covers neither what it explains nor our lane.
  const CORNERS = [['bottom', 'right'], ['top', 'right'], ['bottom', 'left'], ['top', 'left']];

  function place() {
    const {width, height} = card.getBoundingClientRect();
    const kept = [find('.toured'), find('#panel-maxwhisper')].filter(e => e?.checkVisibility())
      .map(e => e.getBoundingClientRect());
    const covered = ([y, x]) => {
      const left = x === 'left' ? 20 : innerWidth - 20 - width, top = y === 'top' ? 20 : innerHeight - 20 - height;
      const over = (a, b, c, d) => Math.max(0, Math.min(b, d) - Math.max(a, c));
      return kept.reduce((sum, box) => sum + over(left, left + width, box.left, box.right)
        * over(top, top + height, box.top, box.bottom), 0);
    };
    const areas = CORNERS.map(covered), [y, x] = CORNERS[areas.indexOf(Math.min(...areas))];
    for (const side of ['top', 'bottom', 'left', 'right']) card.style[side] = side === y || side === x ? '' : 'auto';
    card.style[y] = '20px';
    card.style[x] = innerWidth <= 640 ? '12px' : '20px';
  }

  function tick() {
    const step = STEPS[tour.index];
    if (!tour.acted && !tour.paused && step.s - tour.left >= ACT_AFTER_S) tour.acted = step.auto();
    const isHeld = step.waits && isRacing() && !tour.paused && tour.left <= LOOK_S && tour.waited < MAX_WAIT_S;
    const text = isHeld ? WAITING : step.text;
    if (words.textContent !== text) words.textContent = text;
    if (isHeld) tour.waited += TICK_S;
    else if (!tour.paused) tour.left -= TICK_S;
    clock.style.width = `${100 * (1 - tour.left / step.s)}%`;
    place();
    if (tour.left <= 0) show(tour.index + 1);
  }

  function startTour() {
    if (tour.index >= 0) return endTour();
    tour.from = document.activeElement;
    card.hidden = false;
    setPaused(calm);
    show(0);
    tour.timer = setInterval(tick, 1000 * TICK_S);
    next.focus({preventScroll: true});
  }

  function endTour() {
    clearInterval(tour.timer);
    tour.index = -1;
    card.hidden = true;
    find('.toured')?.classList.remove('toured');
    tour.from?.focus?.({preventScroll: true});
  }

  // ---- Keys, and the dialog that lists them.

  const KEYS = [
    ['?', 'These shortcuts', () => keys.showModal()],
    ['T', 'Guided tour, 60 seconds', startTour],
    ['F', 'Stage mode: large type, full screen', () => setStage(!isStage())],
    ['Q', 'Address of this page as a QR code', () => find('#share')?.showModal()],
    ['R', 'Run the race', () => { openTab('Race'); press('#run'); }],
    ['S', 'Stop the race', () => press('#stop')],
  ];
  const rows = KEYS.map(([key, what]) => make('tr', {},
    make('td', {}, make('kbd', {textContent: key})), make('td', {textContent: what})));
  rows.push(make('tr', {}, make('td', {}, make('kbd', {textContent: '1'}), ' … ', make('kbd', {textContent: '6'})),
    make('td', {textContent: 'Open a tab'})));
  rows.push(make('tr', {}, make('td', {}, make('kbd', {textContent: 'Esc'})),
    make('td', {textContent: 'Close, or leave the tour or stage mode'})));
  const OFF = 'maxwhisper shortcuts off'; // in the browser's storage, which may be refused
  const remembered = () => { try { return localStorage.getItem(OFF); } catch { return null; } };
  const isOn = make('input', {type: 'checkbox', id: 'shortcuts', checked: !remembered()});
  isOn.onchange = () => {
    try { isOn.checked ? localStorage.removeItem(OFF) : localStorage.setItem(OFF, 'yes'); } catch { /* for this visit */ }
  };
  const keys = make('dialog', {id: 'keys', className: 'sheet'}, make('h2', {id: 'keys-title', textContent: 'Keyboard'}),
    make('table', {}, ...rows), make('label', {}, isOn, ' Shortcuts of one key'),
    make('button', {type: 'button', textContent: 'Close', onclick: () => keys.close()}));
  keys.setAttribute('aria-labelledby', 'keys-title');

  // Arrow keys, Home and End on the tabs. True if the key was one of them.
  function moveOnTabs(event) {
    const all = tabs(), at = all.indexOf(event.target.closest?.('[role=tab]'));
    const to = {ArrowLeft: at - 1, ArrowRight: (at + 1) % all.length, Home: 0, End: -1}[event.key];
    if (at < 0 || to === undefined) return false;
    all.at(to).click();
    all.at(to).focus();
    event.preventDefault();
    return true;
  }

  function onKey(event) {
    const typing = event.target.closest?.('input:not([type=checkbox]), textarea, select, [contenteditable], [role=listbox], [role=option]');
    if (typing || event.ctrlKey || event.metaKey || event.altKey || find('dialog[open]')) return;
    if (event.key === 'Escape') {
      if (tour.index >= 0) endTour();
      else if (isStage()) setStage(false);
    } else if (tour.index < 0 && moveOnTabs(event)) return;
    else if (!isOn.checked) return;
    else if (tour.index >= 0 && event.key === 'ArrowRight') show(tour.index + 1);
    else if (tour.index >= 0 && event.key === 'ArrowLeft') show(tour.index - 1);
    else if (/^[1-9]$/.test(event.key)) tabs()[event.key - 1]?.click();
    else KEYS.find(([key]) => key === event.key.toUpperCase())?.[2]();
  }

  const DO = {tour: startTour, stage: () => setStage(!isStage()), keys: () => keys.showModal(),
    share: () => find('#share')?.showModal(), close: button => button.closest('dialog').close()};
  document.addEventListener('click', event => {
    const button = event.target.closest?.('[data-do]');
    if (button) DO[button.dataset.do]?.(button);
  });

  // Bring the verdict of a race into view, wherever it was started; the lanes are below it.
  document.addEventListener('click', event => {
    if (!event.target.closest?.('#run')) return;
    tour.left = Math.max(tour.left, LOOK_S); // until the server has started it
    if (find('.band').getBoundingClientRect().top < 0)
      find('.band').scrollIntoView({behavior: calm ? 'auto' : 'smooth'});
  });

  // What screen readers are told, each sentence once: gradio replaces the elements that show it.
  const told = make('div', {id: 'told', className: 'visually-hidden'});
  told.setAttribute('role', 'log'); // a polite region, of which only additions are read
  document.addEventListener('tell', event => {
    told.append(make('p', {textContent: event.detail}));
    if (told.children.length > 6) told.firstChild.remove();
  });

  document.addEventListener('keydown', onKey);
  find('.gradio-container').append(card, keys, told);
  if (new URLSearchParams(location.search).get('judge') === '1') {
    const waiting = setInterval(() => {
      if (!find('#run')) return;
      clearInterval(waiting);
      startTour();
    }, 100);
  }
}
