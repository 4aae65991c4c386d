// Runs a module of WebAssembly over steps: node wasm_steps.mjs MODULE INPUT_SIZES OUTPUT_SIZES
// Numbers of all inputs, step by step, come in as float32; those of all outputs go out.
import { readFileSync, writeSync } from "node:fs";

const [path, inputs, outputs] = process.argv.slice(2);
const sizes = (text) => text.split(",").map(Number);
const { instance } = await WebAssembly.instantiate(readFileSync(path), {});
const { memory, reset, step, address } = instance.exports;
const ins = sizes(inputs), outs = sizes(outputs);
const given = new Uint8Array(readFileSync(0));
const numbers = new Float32Array(given.buffer, given.byteOffset, given.byteLength / 4);
const steps = numbers.length / ins.reduce((a, b) => a + b);
let at = 0;
reset();
for (let t = 0; t < steps; t++) {
  ins.forEach((size, n) => {
    new Float32Array(memory.buffer, address(n), size).set(numbers.subarray(at, at + size));
    at += size;
  });
  step();
  outs.forEach((size, n) => {
    writeSync(1, new Uint8Array(memory.buffer, address(ins.length + n), size * 4));
  });
}
