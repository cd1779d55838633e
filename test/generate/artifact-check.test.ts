/** Damaged artifacts: one typed error that names the place, before anything is allocated. */
import { beforeAll, describe, expect, test } from "vitest"
import type { Artifact } from "../../runtime/artifact.js"
import { checkArtifact } from "../../runtime/artifact-check.js"
import { refusal } from "./model.js"

/** y = kernel(x), with a weight; every kind of part once. */
const small: Artifact = {
  format: "weft",
  version: 5,
  target: "wasm",
  precision: "exact",
  model: { family: "small", context: 8, chunk: 4, vocabulary: 16, endTokens: [1] },
  symbols: [{ name: "past", max: 8 }],
  slots: [{ bytes: 64 }, { bytes: 64 }, { bytes: 32 }, { bytes: 16 }],
  buffers: [
    { name: "w", role: "weight", storage: "bf16", shape: [2, 16], bytes: 64, slot: 0 },
    { name: "x", role: "scratch", storage: "f32", shape: [16], bytes: 64, slot: 1 },
    { name: "y", role: "scratch", storage: "f32", shape: [8], bytes: 32, slot: 2 },
    { name: "c", role: "constant", storage: "i32", shape: [2], bytes: 16, slot: 3 },
  ],
  weights: [
    { buffer: 0, offset: 0, tensor: "a", shape: [16], storage: "bf16" },
    { buffer: 0, offset: 32, tensor: "b", shape: [16], storage: "bf16" },
  ],
  constants: [{ buffer: 3, base64: "AAAAAAEAAAA=" }],
  kernels: [
    {
      name: "k",
      source: "",
      bindings: [{ access: "read" }, { access: "write" }, { access: "read" }],
      threads: 1,
      scratch: 0,
    },
  ],
  module: "",
  entries: {
    step: {
      launches: [
        { kernel: 0, buffers: [0, 1, 3], groups: 4 },
        { kernel: 0, buffers: [1, 2, 1], groups: 1 },
      ],
    },
  },
}

let broken: (change: (artifact: { [key: string]: never }) => void) => Promise<string>
beforeAll(() => {
  broken = (change) => {
    const copy = structuredClone(small)
    change(copy as unknown as { [key: string]: never })
    return refusal(async () => checkArtifact(copy))
  }
})

test("a whole one passes, and is returned", () => {
  expect(checkArtifact(structuredClone(small))).toEqual(small)
})

// biome-ignore lint/suspicious/noExplicitAny: tests write what the types forbid
type Loose = any
describe("refused", () => {
  test.each<[string, (artifact: Loose) => void, string]>([
    ["another version", (a) => Object.assign(a, { version: 1 }), "artifact/version"],
    ["another format", (a) => Object.assign(a, { format: "onnx" }), "artifact/version"],
    ["a target that is none", (a) => Object.assign(a, { target: "metal" }), "target is"],
    ["a chunk beyond the context", (a) => Object.assign(a.model, { chunk: 9 }), "model.chunk is 9"],
    [
      "a need of a size that is not there",
      (a) =>
        Object.assign(a.entries.step, { needs: [{ extent: [{ factor: 1, symbols: ["no"] }], least: 2, text: "" }] }),
      "entries.step.needs[0].extent[0].symbols is",
    ],
    [
      "a need of nothing",
      (a) => Object.assign(a.entries.step, { needs: [{ extent: [], least: 0, text: "" }] }),
      "entries.step.needs[0].least is 0",
    ],
    ["a slot without bytes", (a) => Object.assign(a.slots[0], { bytes: 0 }), "slots[0].bytes is 0"],
    ["half a byte", (a) => Object.assign(a.slots[0], { bytes: 64.5 }), "slots[0].bytes is 64.5"],
    ["a buffer larger than its slot", (a) => Object.assign(a.buffers[0], { bytes: 80 }), "buffers[0].bytes is 80"],
    ["elements beyond the bytes", (a) => Object.assign(a.buffers[2], { shape: [9] }), "at least the 36"],
    ["a product that overflows", (a) => Object.assign(a.buffers[2], { shape: [2 ** 30, 2 ** 30] }), "elements"],
    ["a negative extent", (a) => Object.assign(a.buffers[2], { shape: [-1] }), "buffers[2].shape is -1"],
    [
      "more rows kept than there are",
      (a) => Object.assign(a.buffers[2], { row: 4, keeps: 9 }),
      "buffers[2].keeps is 9",
    ],
    [
      "rows that go round beyond the bytes",
      (a) => Object.assign(a.buffers[2], { row: 8, keeps: 2 }),
      "buffers[2].row is 8",
    ],
    ["a slot that is not there", (a) => Object.assign(a.buffers[2], { slot: 4 }), "buffers[2].slot is 4"],
    ["a kept buffer in a shared slot", (a) => Object.assign(a.buffers[2], { slot: 0 }), "one of them is kept"],
    ["two buffers of one name", (a) => Object.assign(a.buffers[3], { name: "w" }), "stands once"],
    ["a weight beyond its buffer", (a) => Object.assign(a.weights[1], { offset: 34 }), "weights[1]"],
    [
      "a part beyond its tensor",
      (a) => Object.assign(a.weights[1], { part: { begin: 2, end: 34 } }),
      "weights[1].part",
    ],
    ["a part of nothing", (a) => Object.assign(a.weights[1], { part: { begin: 2, end: 2 } }), "weights[1].part"],
    ["a weight of another storage", (a) => Object.assign(a.weights[1], { storage: "f16" }), "weights[1].buffer"],
    ["a weight into scratch memory", (a) => Object.assign(a.weights[1], { buffer: 1 }), "weights[1].buffer"],
    [
      "a constant with more than its elements",
      (a) => Object.assign(a.constants[0], { base64: "A".repeat(24) }),
      '"18 bytes"; expected the 8 of "c"',
    ],
    [
      "a constant with less",
      (a) => Object.assign(a.constants[0], { base64: "AAAA" }),
      '"3 bytes"; expected the 8 of "c"',
    ],
    [
      "a constant that is no base64",
      (a) => Object.assign(a.constants[0], { base64: "!" }),
      'constants[0].base64 is "!"; expected base64',
    ],
    [
      "base64 that is cut off",
      (a) => Object.assign(a.constants[0], { base64: "AAAAAAEAAAA" }),
      '"11 characters"; expected base64',
    ],
    [
      "base64 with a line break",
      (a) => Object.assign(a.constants[0], { base64: "AAAAAAEA\nAAA" }),
      'is "\\n"; expected base64, at character 8',
    ],
    ["a constant twice", (a) => a.constants.push(a.constants[0]), "constants[1].buffer"],
    ["a constant without its values", (a) => a.constants.pop(), "constants is"],
    ["a module that is no base64", (a) => Object.assign(a, { module: "AGFzbQ" }), "module is"],
    [
      "a kernel that is not there",
      (a) => Object.assign(a.entries.step.launches[0], { kernel: 1 }),
      "launches[0].kernel is 1",
    ],
    [
      "a buffer that is not there",
      (a) => Object.assign(a.entries.step.launches[0], { buffers: [0, 1, 9] }),
      "buffers[2] is 9",
    ],
    ["too few buffers", (a) => Object.assign(a.entries.step.launches[0], { buffers: [0, 1] }), '"2 buffers"'],
    ["no workgroups", (a) => Object.assign(a.entries.step.launches[0], { groups: 0 }), "groups is 0"],
    [
      "a write into a weight",
      (a) => Object.assign(a.entries.step.launches[0], { buffers: [1, 0, 3] }),
      "a kernel may write",
    ],
    [
      "a write into what is read",
      (a) => Object.assign(a.entries.step.launches[0], { buffers: [1, 1, 3] }),
      "slot 1 twice",
    ],
    [
      "scratch memory that nothing has written",
      (a) => a.entries.step.launches.shift(),
      'launches[0].buffers[0] is "memory that nothing has written"; expected "x" in slot 1',
    ],
    [
      "scratch memory that another buffer has taken",
      (a) => {
        a.buffers.push({ ...a.buffers[2], name: "z" })
        a.kernels.push({ ...a.kernels[0], name: "two", bindings: [{ access: "read" }, { access: "write" }] })
        a.entries.step.launches.push(
          { kernel: 1, buffers: [0, 4], groups: 1 },
          { kernel: 1, buffers: [2, 1], groups: 1 },
        )
      },
      'launches[3].buffers[0] is "z"; expected "y" in slot 2',
    ],
    ["an access that is none", (a) => Object.assign(a.kernels[0].bindings[0], { access: "all" }), "bindings[0].access"],
    ["too many threads", (a) => Object.assign(a.kernels[0], { threads: 4096 }), "threads is 4096"],
    ["no list of launches", (a) => Object.assign(a.entries, { step: {} }), "entries.step.launches"],
  ])("%s", async (_, change, message) => {
    expect(await broken(change)).toContain(message)
  })

  test.each([[null], [[]], ["weft"], [{}], [{ format: "weft", version: 2 }]])("%j", async (json) => {
    expect(await refusal(async () => checkArtifact(json))).toMatch(/^artifact\//)
  })
})

const matrix = { binding: 0, storage: "bf16", rows: 1, columns: 8, stride: 8, box: [8, 16] } as const

/** The same for CUDA, with a binary. */
const onCuda: Artifact = {
  ...small,
  target: "cuda",
  kernels: small.kernels.map((k) => ({
    ...k,
    bindings: [{ access: "read", bytes: 16 } as const, ...k.bindings.slice(1)],
    symbol: "k",
    sharedBytes: 64,
    early: true,
    matrices: [matrix],
  })),
  prelude: "typedef int i32;",
  modules: [{ arch: "sm_90a", kind: "cubin", base64: "AAAA" }],
}

test("what is for CUDA passes, with its binaries and without", () => {
  const { modules: _, ...rest } = onCuda
  for (const whole of [onCuda, rest]) expect(checkArtifact(structuredClone(whole))).toEqual(whole)
})

test.each<[string, (artifact: Loose) => void, string]>([
  ["a kernel without a function", (a) => delete a.kernels[0].symbol, "kernels[0].symbol is"],
  ["a function that is no name", (a) => Object.assign(a.kernels[0], { symbol: "k(" }), 'kernels[0].symbol is "k("'],
  ["a function twice", (a) => a.kernels.push({ ...a.kernels[0], name: "l" }), 'kernels[1].symbol is "k"'],
  ["shared memory that is none", (a) => Object.assign(a.kernels[0], { sharedBytes: -4 }), "sharedBytes is -4"],
  ["an early start that is none", (a) => Object.assign(a.kernels[0], { early: false }), "kernels[0].early is"],
  [
    "a matrix of no binding",
    (a) => Object.assign(a.kernels[0].matrices[0], { binding: 9 }),
    "matrices[0].binding is 9",
  ],
  [
    "rows of 6 bytes",
    (a) => Object.assign(a.kernels[0].matrices[0], { stride: 3, columns: 3 }),
    "matrices[0].stride is",
  ],
  ["a matrix beyond what is read", (a) => Object.assign(a.kernels[0].matrices[0], { rows: 2 ** 20 }), "matrices[0] is"],
  ["boxes of odd rows", (a) => Object.assign(a.kernels[0].matrices[0], { box: [8, 24] }), "matrices[0].box is"],
  ["no prelude", (a) => delete a.prelude, "prelude is"],
  ["a binary for nothing", (a) => Object.assign(a.modules[0], { arch: "sm_90a -o x" }), "modules[0].arch is"],
  ["a binary of another kind", (a) => Object.assign(a.modules[0], { kind: "elf" }), "modules[0].kind is"],
  ["a binary that is no base64", (a) => Object.assign(a.modules[0], { base64: "!" }), "modules[0].base64 is"],
  [
    "functions on WebAssembly",
    (a) => Object.assign(a, { target: "wasm", prelude: undefined, modules: undefined }),
    "kernels[0].symbol is",
  ],
  ["binaries on WebGPU", (a) => Object.assign(a, { target: "webgpu", prelude: undefined }), "modules is"],
])("refused for CUDA: %s", async (_, change, message) => {
  const copy = structuredClone(onCuda)
  change(copy)
  expect(await refusal(async () => checkArtifact(copy))).toContain(message)
})

test("any part of another type is refused, never a crash", async () => {
  const paths: (readonly (string | number)[])[] = []
  const collect = (value: unknown, path: readonly (string | number)[]) => {
    if (path.length > 0) paths.push(path)
    if (typeof value !== "object" || value === null) return
    for (const key of Object.keys(value))
      collect((value as Loose)[key], [...path, Array.isArray(value) ? Number(key) : key])
  }
  collect(onCuda, [])
  expect(paths.length).toBeGreaterThan(100)
  for (const path of paths)
    for (const junk of [null, -1, 1e300, "junk", {}, [null], true]) {
      const copy: Loose = structuredClone(onCuda)
      const parent = path.slice(0, -1).reduce((at: Loose, key) => at[key], copy)
      parent[path.at(-1)!] = junk
      try {
        checkArtifact(copy)
      } catch (error) {
        expect((error as Loose).code, `${path.join(".")} = ${JSON.stringify(junk)}: ${error}`).toMatch(/^artifact\//)
      }
    }
})
