'use strict';

// Values (red of each pixel) of a map that lies in the page as a grey PNG.
function valuesOf(image) {
  const canvas = document.createElement('canvas');
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
  const values = new Uint8Array(canvas.width * canvas.height);
  for (let i = 0; i < values.length; i++) values[i] = pixels[4 * i];
  return { values, width: canvas.width, height: canvas.height };
}

function at(map, x, y) { // x and y in 0..1
  const column = Math.min(map.width - 1, Math.floor(x * map.width));
  const row = Math.min(map.height - 1, Math.floor(y * map.height));
  return map.values[row * map.width + column];
}

function paint(canvas, map, palette) {
  const context = canvas.getContext('2d');
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (!map) return; // the photograph shows through
  const pixels = context.createImageData(map.width, map.height);
  map.values.forEach((id, i) => pixels.data.set([...(palette[id] || [0, 0, 0]), 255], 4 * i));
  context.putImageData(pixels, 0, 0);
}

async function setUpFrame(frame, { classes, palette }, left, right, opacity) {
  const stage = frame.querySelector('.stage');
  const [photo, below, above] = ['.photo', '.below', '.above'].map((name) => stage.querySelector(name));
  const edge = stage.querySelector('.edge');
  const cross = stage.querySelector('.cross');
  const slider = frame.querySelector('.border');
  const readout = frame.querySelector('.readout');
  const maps = { label: {}, confidence: {} };
  for (const image of stage.querySelectorAll('[data-map]')) {
    await image.decode();
    maps[image.dataset.map][image.dataset.view] = valuesOf(image);
  }
  await photo.decode();

  function draw() {
    paint(below, maps.label[left.value], palette);
    paint(above, maps.label[right.value], palette);
    slide();
  }
  function slide() {
    above.style.clipPath = `inset(0 0 0 ${slider.value}%)`;
    below.style.clipPath = `inset(0 ${100 - slider.value}% 0 0)`;
    above.style.opacity = below.style.opacity = `${opacity.value}%`;
    edge.style.left = `${slider.value}%`;
    slider.setAttribute('aria-valuetext', `${left.value} ${slider.value} %, ${right.value} ${100 - slider.value} %`);
  }
  const place = { x: 0.5, y: 0.5 };
  function tell(x, y, isKey) {
    Object.assign(place, { x, y });
    cross.hidden = !isKey;
    cross.style.left = `${100 * x}%`;
    cross.style.top = `${100 * y}%`;
    readout.textContent = Object.entries(maps.label).map(([view, map]) => {
      const name = classes[at(map, x, y)] || 'no label';
      const sure = maps.confidence[view];
      return `${view}: ${name}${sure ? ` ${Math.round(at(sure, x, y) / 2.55)} %` : ''}`;
    }).join(', ');
  }

  for (const range of [slider, opacity]) range.addEventListener('input', slide);
  stage.addEventListener('pointermove', (event) => {
    const box = stage.getBoundingClientRect();
    tell((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height, false);
    if (event.buttons) {
      slider.value = 100 * place.x;
      slide();
    }
  });
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  stage.addEventListener('keydown', (event) => {
    if (!steps[event.key]) return;
    event.preventDefault();
    const size = event.shiftKey ? 0.1 : 0.01;
    const [x, y] = [place.x, place.y].map((value, i) => Math.min(0.999, Math.max(0, value + size * steps[event.key][i])));
    tell(x, y, true);
  });
  stage.addEventListener('focus', () => { if (stage.matches(':focus-visible')) tell(place.x, place.y, true); });
  stage.addEventListener('blur', () => { cross.hidden = true; });
  for (const select of [left, right]) select.addEventListener('change', draw);
  draw();
}

for (const viewer of document.querySelectorAll('.viewer')) {
  const data = JSON.parse(viewer.querySelector('.data').textContent);
  const controls = ['.left', '.right', '.opacity'].map((name) => viewer.querySelector(name));
  Promise.all([...viewer.querySelectorAll('.frame')].map((frame) => setUpFrame(frame, data, ...controls)))
    .then(() => { viewer.dataset.ready = 'yes'; });
}
