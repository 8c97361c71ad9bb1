/** Draws up to some hundred thousand points with WebGL: one call for all of them. */

import { unit, type Camera, type Size } from "./camera";

const VERTEX = `#version 300 es
in vec2 place;
in vec4 colour;
uniform vec2 centre;
uniform vec2 scale;
uniform float side;
out vec4 tint;
void main() {
  gl_Position = vec4((place - centre) * scale, 0.0, 1.0);
  gl_PointSize = side * (colour.a > 0.9 ? 1.0 : 0.8);
  tint = colour;
}`;

const FRAGMENT = `#version 300 es
precision mediump float;
in vec4 tint;
out vec4 shown;
void main() {
  float away = length(gl_PointCoord - 0.5);
  float cover = smoothstep(0.5, 0.4, away);
  if (cover < 0.01) discard;
  shown = vec4(tint.rgb, 1.0) * tint.a * cover;
}`;

export class Painter {
  private readonly gl: WebGL2RenderingContext;
  private readonly program: WebGLProgram;
  private readonly colours: WebGLBuffer;
  private count = 0;

  /** Throws where the browser has no WebGL 2. */
  constructor(private readonly canvas: HTMLCanvasElement) {
    const gl = canvas.getContext("webgl2", { antialias: false, premultipliedAlpha: true });
    if (!gl) throw new Error("this browser has no WebGL 2");
    this.gl = gl;
    this.program = linked(gl);
    this.colours = gl.createBuffer();
    gl.useProgram(this.program);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }

  /** x and y by turns, within −1 and 1. */
  setPlaces(places: Float32Array): void {
    const { gl } = this;
    this.count = places.length / 2;
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, places, gl.STATIC_DRAW);
    this.attribute("place", 2, gl.FLOAT, false);
  }

  /** Red, green, blue and opacity of each point, bytes. */
  setColours(colours: Uint8Array): void {
    const { gl } = this;
    gl.bindBuffer(gl.ARRAY_BUFFER, this.colours);
    gl.bufferData(gl.ARRAY_BUFFER, colours, gl.DYNAMIC_DRAW);
    this.attribute("colour", 4, gl.UNSIGNED_BYTE, true);
  }

  draw(camera: Camera, size: Size): void {
    const { gl, canvas } = this;
    const density = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(size.width * density), Math.round(size.height * density)];
    if (canvas.width !== width || canvas.height !== height)
      Object.assign(canvas, { width, height });
    gl.viewport(0, 0, width, height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    const scale = unit(camera, size);
    gl.uniform2f(this.uniform("centre"), camera.x, camera.y);
    gl.uniform2f(this.uniform("scale"), (2 * scale) / size.width, (2 * scale) / size.height);
    gl.uniform1f(this.uniform("side"), density * pointSide(this.count, camera.zoom));
    gl.drawArrays(gl.POINTS, 0, this.count);
  }

  private attribute(name: string, numbers: number, type: number, normalised: boolean): void {
    const place = this.gl.getAttribLocation(this.program, name);
    this.gl.enableVertexAttribArray(place);
    this.gl.vertexAttribPointer(place, numbers, type, normalised, 0, 0);
  }

  private uniform(name: string): WebGLUniformLocation | null {
    return this.gl.getUniformLocation(this.program, name);
  }
}

/** Pixels across: many points are small, and grow a little when looked at closely. */
export function pointSide(count: number, zoom: number): number {
  const base = Math.min(7, Math.max(2.2, 60 / Math.cbrt(count + 1)));
  return Math.min(12, base * Math.max(1, zoom ** 0.35));
}

function linked(gl: WebGL2RenderingContext): WebGLProgram {
  const program = gl.createProgram();
  for (const [kind, source] of [
    [gl.VERTEX_SHADER, VERTEX],
    [gl.FRAGMENT_SHADER, FRAGMENT],
  ] as const) {
    const shader = gl.createShader(kind)!;
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS))
    throw new Error(`the map cannot be drawn here: ${gl.getProgramInfoLog(program)}`);
  return program;
}
