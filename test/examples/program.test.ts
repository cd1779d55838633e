/** Programs: what is refused while they are compiled and while they run, and how the host's arrays lie in memory. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { beforeAll, describe, expect, test } from "vitest"
import { loadProgram as loadFile } from "../../cli/node.js"
import { compileProgram } from "../../compiler/compile.js"
import { loadModel } from "../../compiler/frontend/load.js"
import type { program as stencil } from "../../examples/stencil.js"
import type { Artifact } from "../../runtime/artifact.js"
import { checkArtifact } from "../../runtime/artifact-check.js"
import { createWasmDevice } from "../../runtime/devices/wasm/device.js"
import { load } from "../../runtime/generate/load.js"
import { loadProgram, type RunningProgram } from "../../runtime/program.js"
import { pack, unpack } from "../../runtime/strides.js"
import { refusal } from "../generate/model.js"
import type * as Programs from "./programs.js"

let programs: typeof Programs
beforeAll(async () => {
  programs = (await loadModel("test/examples/programs.ts")).module as typeof Programs
})

const compiled = (name: keyof typeof Programs): Artifact =>
  compileProgram(programs[name], name, { target: "wasm", storage: () => "f32", verify: true }).artifact
async function opened(name: keyof typeof Programs): Promise<RunningProgram> {
  const device = await createWasmDevice({ threads: 1 })
  return loadProgram(compiled(name), { device, onDispose: () => device.dispose() })
}
const f = (...values: number[]) => Float32Array.from(values)

describe("refused while compiling", () => {
  test.each([
    ["undeclared", "'extra' is returned, but is none of the outputs"],
    ["absent", "'missing' is one of the outputs, but no tensor is returned for it"],
    ["otherAxes", "'y' has the axes a; declared are a, b"],
    ["idle", "nothing that the program gives depends on its input 'idle'"],
    ["twoMaxima", "'a' is up to 8 in one place, up to 9 in another"],
    ["wideWindow", "windows of 4 do not fit axis 'a' of 3"],
  ] as const)("%s", (name, message) => {
    expect(() => compiled(name)).toThrow(message)
  })
})

describe("a run", () => {
  test("finds extents in lengths, and gives shapes that follow from them", async () => {
    using program = await opened("moved")
    const { moved, valid } = await program.run({ x: f(1, 2, 3, 4, 5, 6), shift: f(10, 20) })
    expect(moved).toEqual({ data: f(11, 13, 15, 22, 24, 26), shape: [2, 3] })
    // Two neighbours summed along `a`: one row less, in the declared order of axes, from memory with room between the rows.
    expect(valid).toEqual({ data: f(4, 8, 6, 10), shape: [2, 2] })
    const again = await program.run({ x: f(1, 2, 3), shift: f(1, 1, 1) })
    expect(again.moved).toEqual({ data: f(2, 3, 4), shape: [3, 1] })
    expect(again.valid).toEqual({ data: f(), shape: [3, 0] })
  })

  test("takes sizes by name where lengths do not say them", async () => {
    using program = await opened("open")
    expect(await refusal(program.run({ x: f(1, 2, 3, 4) }))).toContain(
      "program/size: 'x' has 4 numbers, from which its extents do not follow\nhint: name one: run(inputs, { a: … })",
    )
    expect((await program.run({ x: f(1, 2, 3, 4) }, { a: 1 })).y!.shape).toEqual([1, 4])
    expect((await program.run({ x: f(1, 2, 3, 4) }, { b: 2 })).y).toEqual({ data: f(2, 4, 6, 8), shape: [2, 2] })
    expect((await program.run({ x: f() }, { a: 0, b: 3 })).y).toEqual({ data: f(), shape: [0, 3] })
  })

  test("solves a square, and gives a bool as 0 or 1 and a number as one", async () => {
    using program = await opened("square")
    const { upper, trace } = await program.run({ x: f(1, 2, 3, 4, 5, 6, 7, 8, 9) })
    expect(upper).toEqual({ data: Uint32Array.of(0, 1, 1, 0, 0, 1, 0, 0, 0), shape: [3, 3] })
    expect(trace).toEqual({ data: f(15), shape: [] })
    expect(await refusal(program.run({ x: f(1, 2, 3) }))).toContain("'x' has 3 numbers, which do not fill [a, b]")
  })

  test.each<[string, Readonly<Record<string, unknown>>, Readonly<Record<string, number>>, string]>([
    ["a missing input", { x: f(1, 2) }, {}, "program/input: the input 'shift' is missing; it is a Float32Array"],
    ["an unknown input", { x: f(1), shift: f(1), z: f(1) }, {}, 'program/input: the program has no input "z"'],
    [
      "another type",
      { x: new Float64Array(2), shift: f(1) },
      {},
      "the input 'x' is a Float64Array; it is a Float32Array",
    ],
    ["a list", { x: [1], shift: f(1) }, {}, "the input 'x' is [1]; it is a Float32Array"],
    [
      "a length that is no multiple",
      { x: f(1, 2, 3), shift: f(1, 2) },
      {},
      "'x' has 3 numbers, which do not fill [a, b: 2]",
    ],
    [
      "a length beside a size",
      { x: f(1, 2), shift: f(1, 2) },
      { b: 3, a: 1 },
      "'x' has 2 numbers; [a: 1, b: 3] takes 3",
    ],
    [
      "an extent beyond the maximum",
      { x: f(), shift: new Float32Array(9) },
      {},
      "'b' is 9 in 'shift'; it is a whole number up to 8",
    ],
    ["a size that is none", { x: f(1), shift: f(1) }, { b: -1 }, "'b' is -1; it is a whole number up to 8"],
    [
      "a size that is not open",
      { x: f(1), shift: f(1) },
      { c: 1 },
      'the program has no extent "c"\nhint: it leaves open a, b',
    ],
    ["an output of less than nothing", { x: f(), shift: f(1) }, {}, "'valid' would have -1 elements along 'a'"],
  ])("refuses %s", async (_, inputs, sizes, message) => {
    using program = await opened("moved")
    expect(await refusal(program.run(inputs as never, sizes))).toContain(message)
    // Nothing was left half done.
    expect((await program.run({ x: f(1, 2), shift: f(0) })).valid!.data).toEqual(f(3))
  })

  test("is refused when slices, picks and windows leave the axes that it is given", async () => {
    using program = await opened("placed")
    const found = await program.run({ x: f(1, 2, 3, 4) })
    expect([found.part, found.third, found.last, found.pairs].map((r) => [...r!.data])).toEqual([
      [2, 3, 4],
      [3],
      [4],
      [15],
    ])
    const short = await refusal(program.run({ x: f(1, 2, 3) }))
    expect(short).toMatch(
      /an index map along 'a' takes at least 4, at test\/examples\/programs.ts:\d+:\d+: there are 3 elements/,
    )
    using last = await opened("lastOnly")
    expect(await refusal(last.run({ x: f() }, { a: 0 }))).toContain("program/size")
    expect([...(await last.run({ x: f(5) })).last!.data]).toEqual([5])
    using pairs = await opened("pairsOnly")
    expect(await refusal(pairs.run({ x: f(1) }))).toContain("program/size")
    expect([...(await pairs.run({ x: f(1, 2) })).pairs!.data]).toEqual([0])
  })

  test("is one at a time, and none after the end", async () => {
    const program = await opened("square")
    const first = program.run({ x: f(1) })
    expect(await refusal(program.run({ x: f(1) }))).toContain("program/busy")
    expect((await first).trace!.data).toEqual(f(1))
    program.dispose()
    program.dispose()
    expect(await refusal(program.run({ x: f(1) }))).toContain("program/disposed")
  })
})

describe("an artifact", () => {
  // biome-ignore lint/suspicious/noExplicitAny: tests write what the types forbid
  type Loose = any
  test.each<[string, (artifact: Loose) => void, string]>([
    ["both a model and a program", (a) => Object.assign(a, { model: {} }), "model is"],
    ["a program without an entry", (a) => Object.assign(a, { entries: {} }), "entries is"],
    [
      "a buffer that is none",
      (a) => Object.assign(a.program.inputs[0], { buffer: 99 }),
      "program.inputs[0].buffer is 99",
    ],
    [
      "a buffer of another role",
      (a) => Object.assign(a.program.outputs[0], { buffer: a.program.inputs[0].buffer }),
      "program.outputs[0].buffer",
    ],
    ["a stride beyond the buffer", (a) => Object.assign(a.program.inputs[0].axes[0], { stride: 999 }), "within the"],
    ["an extent beyond the buffer", (a) => Object.assign(a.program.inputs[0].axes[0], { extent: 999 }), "within the"],
    [
      "a symbol that is none",
      (a) => Object.assign(a.program.inputs[0].axes[0].extent[0], { symbols: ["z"] }),
      "a symbol of the artifact",
    ],
    ["two axes of one name", (a) => Object.assign(a.program.inputs[0].axes[1], { name: "a" }), "stands once"],
  ])("with %s is refused", async (_, change, message) => {
    const artifact = structuredClone(compiled("moved"))
    change(artifact)
    expect(await refusal(async () => checkArtifact(artifact))).toContain(message)
  })

  test("of a program does not generate", async () => {
    const weights = { read: async () => new Uint8Array() }
    using device = disposable(await createWasmDevice({ threads: 1 }))
    expect(await refusal(load(compiled("square"), { device: device.device, weights }))).toContain("artifact/purpose")
  })
})

test("a file is compiled once and then comes from the cache; its type knows the arrays", async () => {
  const cache = await mkdtemp(join(tmpdir(), "weft-program-"))
  const run = async () => {
    using program = await loadFile<typeof stencil>("examples/stencil.ts", { device: "wasm", threads: 1, cache })
    const { result } = await program.run({ image: f(1, 2, 3, 4), kernel: f(0, 0, 0, 0, 2, 0, 0, 0, 0) }, { row: 2 })
    const data: Float32Array = result.data
    // @ts-expect-error an image of whole numbers
    void (() => program.run({ image: Int32Array.of(1), kernel: f() }))
    // @ts-expect-error no kernel
    void (() => program.run({ image: f(1) }))
    return data
  }
  try {
    expect(await run()).toEqual(f(2, 4, 6, 8))
    expect(await run()).toEqual(f(2, 4, 6, 8))
    expect(await refusal(loadFile("test/examples/references.ts", { device: "wasm", cache }))).toContain(
      "exports no 'model' and no 'program'",
    )
  } finally {
    await rm(cache, { recursive: true })
  }
})

test("arrays of any strides come back as they were", () => {
  const data = f(1, 2, 3, 4, 5, 6)
  for (const places of [
    [
      { extent: 2, stride: 3 },
      { extent: 3, stride: 1 },
    ],
    [
      { extent: 2, stride: 8 },
      { extent: 3, stride: 1 },
    ],
    [
      { extent: 2, stride: 1 },
      { extent: 3, stride: 5 },
    ],
    [
      { extent: 1, stride: 9 },
      { extent: 3, stride: 2 },
      { extent: 2, stride: 1 },
    ],
  ]) {
    const bytes = pack(data, places)
    expect(unpack(new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4), places)).toEqual(data)
  }
  expect([
    ...new Float32Array(
      pack(data, [
        { extent: 2, stride: 1 },
        { extent: 3, stride: 2 },
      ]).buffer,
    ),
  ]).toEqual([1, 4, 2, 5, 3, 6])
})

const disposable = (device: Awaited<ReturnType<typeof createWasmDevice>>) => ({
  device,
  [Symbol.dispose]: () => device.dispose(),
})
