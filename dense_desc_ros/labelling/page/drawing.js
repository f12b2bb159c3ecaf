// The picture and the points on it. Pixels (u, v) count from the centre of the first one, (0, 0).

const RING = 8, LABEL_GAP = 12; // screen px
const SHARP = 3; // from this scale on, pixels are shown as squares

/** The colour of the n-th point: hues that lie as far from all earlier ones as they can. */
export const colorOf = (n) => `hsl(${(n * 137.508) % 360} 100% 60%)`;

/** What is seen of a picture: `scale` screen px to a pixel, (x, y) where pixel (0, 0) is. */
export class View {
  constructor(canvas) {
    this.canvas = canvas;
    this.scale = 1;
    this.x = this.y = 0;
  }

  toScreen([u, v]) { return [this.x + u * this.scale, this.y + v * this.scale]; }

  toPixel([x, y]) { return [(x - this.x) / this.scale, (y - this.y) / this.scale]; }

  fit({ width, height }) {
    const { clientWidth, clientHeight } = this.canvas;
    this.scale = Math.min(clientWidth / width, clientHeight / height);
    this.x = (clientWidth - (width - 1) * this.scale) / 2;
    this.y = (clientHeight - (height - 1) * this.scale) / 2;
  }

  /** Zoom so that what is at a place of the screen stays there. */
  zoom(factor, [x, y]) {
    const scale = Math.min(Math.max(this.scale * factor, 0.05), 80);
    this.x = x - (x - this.x) * scale / this.scale;
    this.y = y - (y - this.y) * scale / this.scale;
    this.scale = scale;
  }

  /**
   * Draw a picture (ImageBitmap, or null) with marks: {name, color, pixel, isChosen}.
   */
  draw(picture, marks) {
    const { canvas } = this, ratio = window.devicePixelRatio;
    canvas.width = Math.round(canvas.clientWidth * ratio);
    canvas.height = Math.round(canvas.clientHeight * ratio);
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    if (picture) {
      context.imageSmoothingEnabled = this.scale < SHARP;
      const [left, top] = this.toScreen([-0.5, -0.5]);
      context.drawImage(picture, left, top, picture.width * this.scale, picture.height * this.scale);
    }
    for (const mark of marks) this.#drawMark(context, mark);
  }

  #drawMark(context, { name, color, pixel, isChosen }) {
    const [x, y] = this.toScreen(pixel);
    const ring = new Path2D();
    ring.arc(x, y, RING, 0, 2 * Math.PI);
    // The middle stays free, so that one sees where one points.
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      ring.moveTo(x + 3 * dx, y + 3 * dy);
      ring.lineTo(x + (RING + 4) * dx, y + (RING + 4) * dy);
    }
    for (const [style, width] of [["#000", 4], [color, isChosen ? 2 : 1.2]]) {
      context.strokeStyle = style;
      context.lineWidth = width;
      context.stroke(ring);
    }
    context.font = `${isChosen ? "600 " : ""}13px system-ui, sans-serif`;
    const width = context.measureText(name).width;
    context.fillStyle = "rgb(0 0 0 / 65%)";
    context.fillRect(x + LABEL_GAP + 2, y - 10, width + 10, 20);
    context.fillStyle = color;
    context.fillText(name, x + LABEL_GAP + 7, y + 4.5);
  }
}

/** Ticks over the slider, where the chosen point is labelled: [{share, isHidden}]. */
export function drawTicks(canvas, ticks, color) {
  canvas.width = canvas.clientWidth;
  canvas.height = canvas.clientHeight;
  const context = canvas.getContext("2d");
  for (const { share, isHidden } of ticks) {
    context.fillStyle = isHidden ? "#8a8f96" : color;
    context.fillRect(8 + share * (canvas.width - 16) - 1, 0, 2, canvas.height);
  }
}
