/** Records of tuned schedules: they are used, refused with the place when their form is wrong, and passed over where `tile` refuses. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { namedTuned, readTuned, tunedText } from "../../cli/tuned.js"
import { compileProgram } from "../../compiler/compile.js"
import { compileFile } from "../../compiler/compile-file.js"
import { compileKernel } from "../../compiler/compile-kernels.js"
import { loadModel } from "../../compiler/frontend/load.js"
import { withTable } from "../../compiler/ir/expression.js"
import { fingerprintOf } from "../../compiler/kernel/fingerprint.js"
import { choices } from "../../compiler/schedule/choices.js"
import { tunedSchedule } from "../../compiler/schedule/tuned/lookup.js"
import { checkTuned, type TunedRecord } from "../../compiler/schedule/tuned/record.js"
import { targetFor, wasmTarget } from "../../compiler/targets/target.js"
import type { Program } from "../../dsl/model.js"
import { long, seed } from "../laws/settings.js"
import { root } from "../support/goldens.js"
import { contraction } from "./kernels.js"

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "weft-tuned-"))
})
afterAll(() => rm(folder, { recursive: true }))

const shape = { rows: 64, out: 64, inner: 32 } as const

/** One of the choices for the contraction, which are dear to make: once for all tests, which get copies of it. */
const kept = withTable(() => {
  const kernel = contraction(shape)
  const { key, axes } = fingerprintOf(kernel)
  return { key, axes, schedule: choices(kernel, wasmTarget).schedules[5]! }
})

/** A record that holds it. */
const recorded = (change: (record: TunedRecord) => unknown = (r) => r) => {
  const { key, axes, schedule } = structuredClone(kept)
  const kernels = { [key]: { axes, schedule, microseconds: 80, heuristicMicroseconds: 100 } }
  return change({ format: 3, target: "wasm", device: "wasm-test", measured: "a test", kernels })
}

test("a schedule is used for its structure, in the kernel's own names", () => {
  const record = checkTuned(recorded(), "a record")
  withTable(() => {
    const renamed = contraction({ ...shape, names: ["token", "unit", "channel"] })
    const made = compileKernel(renamed, wasmTarget, { verify: true, tuned: record })
    expect(made.origin).toBe("tuned")
    const [tuned] = Object.values(record.kernels)
    expect(made.schedule.stores[0]!.tile.token).toEqual(tuned!.schedule.stores[0]!.tile.row)
    expect(Object.keys(made.schedule.stores[0]!.tile)).toEqual(["token", "unit"])
    expect(made.schedule).not.toEqual(compileKernel(renamed, wasmTarget, { verify: true }).schedule)
    expect(compileKernel(contraction({ ...shape, out: 32 }), wasmTarget, { verify: true, tuned: record }).origin).toBe(
      "heuristics",
    )
  })
})

/** One of so many schedules. */
const apart = long ? 3 : 9
const hardware = { subgroupSize: 32, workgroupBytes: 49152, f16: true }

test.each([
  ["wasm", wasmTarget],
  ["webgpu in software", targetFor("webgpu", { subgroupSize: 4 })],
  ["webgpu", targetFor("webgpu", hardware)],
  ["webgpu, fast", targetFor("webgpu", hardware, "fast")],
] as const)("whatever is chosen or tried can be written, read and used under other names: %s", (name, target) => {
  const fields = new Set<string>()
  withTable(() => {
    for (const [storage, stored] of [
      ["f32", "f32"],
      ["bf16", "f32"],
      ["bf16", "bf16"],
    ] as const) {
      const given = { rows: 128, out: 128, inner: 64, storage, stored } as const
      const kernel = contraction(given)
      const renamed = contraction({ ...given, names: ["token", "unit", "channel"] })
      const { key, axes } = fingerprintOf(kernel)
      const { schedules } = choices(kernel, target)
      for (const tried of [
        compileKernel(kernel, target, { verify: true }).schedule,
        ...schedules.filter((_, i) => i % apart === seed % apart),
      ]) {
        const kernels = { [key]: { axes, schedule: tried, microseconds: 80, heuristicMicroseconds: 100 } }
        const made = { format: 3, target: target.name, device: "test", measured: "a test", kernels } as const
        const record = checkTuned(JSON.parse(tunedText(made)), "a record")
        const found = tunedSchedule(renamed, record)
        expect(JSON.stringify(found)).not.toMatch(/"(row|out|inner)"/)
        expect(tunedSchedule(kernel, record)).toEqual(tried)
        for (const [, name] of JSON.stringify(tried).matchAll(/"(packed|interleave|stages|peelTail|raster)"/g))
          fields.add(name!)
      }
    }
  })
  if (name === "webgpu, fast") expect([...fields]).toEqual(expect.arrayContaining(["interleave", "packed"]))
})

test("heuristics decide where the schedule is not possible, and the compilation tells why", () => {
  const record = checkTuned(
    recorded(({ kernels, ...rest }) => {
      const [[key, kernel]] = Object.entries(kernels) as [[string, TunedRecord["kernels"][string]]]
      const [store] = kernel.schedule.stores
      const impossible = { ...kernel.schedule, stores: [{ ...store!, tile: { row: { block: 3, perThread: 2 } } }] }
      return { ...rest, kernels: { [key]: { ...kernel, schedule: impossible } } }
    }),
    "a record",
  )
  withTable(() => {
    const made = compileKernel(contraction(shape), wasmTarget, { verify: true, tuned: record })
    expect(made.origin).toMatchObject({ code: "tile/indivisible" })
    expect(made.schedule).toEqual(compileKernel(contraction(shape), wasmTarget, { verify: true }).schedule)
  })
})

test("a file is compiled with a record, and says which of its schedules are refused", async () => {
  const file = join(root, "examples", "power-iteration.ts")
  const program = (await loadModel(file)).module.program as Program
  const options = { target: "wasm", storage: () => "bf16" as const } as const
  const plain = compileProgram(program, "power-iteration", options)
  const [first, second] = plain.kernels.map(({ kernel, schedule }) => ({ ...fingerprintOf(kernel), schedule }))
  const timed = { microseconds: 1, heuristicMicroseconds: 2 }
  const tuned: TunedRecord = {
    format: 3,
    target: "wasm",
    device: "wasm-test",
    measured: "a test",
    kernels: {
      [first!.key]: { ...timed, axes: first!.axes, schedule: { ...first!.schedule, stores: [] } },
      [second!.key]: { ...timed, axes: second!.axes, schedule: second!.schedule },
    },
  }
  const warnings: string[] = []
  const made = await compileFile(file, {}, "wasm", { tuned, onWarning: (message) => warnings.push(message) })
  expect(made.compilation.kernels.map((k) => k.origin).slice(0, 2)).toEqual([
    expect.objectContaining({ code: "schedule/shape" }),
    "tuned",
  ])
  expect(made.compilation.artifact.module).toBe(plain.artifact.module)
  expect(warnings).toHaveLength(1)
  expect(warnings[0]).toMatch(
    /^1 tuned schedules for wasm-test are refused, .* run weft tune again\n {2}k0_[^\n]*schedule\/shape[^\n]*$/,
  )
  expect(() => compileProgram(program, "power-iteration", { ...options, target: "webgpu", tuned })).toThrow(
    "the schedules of wasm-test are for wasm, not for webgpu",
  )
})

test("what is written is read again, in an order that does not depend on when it was found", async () => {
  const record = checkTuned(recorded(), "a record")
  const [kernel] = Object.values(record.kernels)
  const text = tunedText({ ...record, kernels: { b: kernel!, a: kernel! } })
  expect(text).toBe(tunedText({ ...record, kernels: { a: kernel!, b: kernel! } }))
  const path = join(folder, "two.json")
  await writeFile(path, text)
  expect(await readTuned(path)).toEqual({ ...record, kernels: { a: kernel, b: kernel } })
  expect(JSON.parse(await readFile(path, "utf8"))).toEqual({ ...record, kernels: { a: kernel, b: kernel } })
  expect(await readTuned(join(folder, "none.json"))).toBeUndefined()
  await expect(namedTuned(join(folder, "none.json"))).rejects.toThrow("there is no file")
})

const withSchedule = (change: (schedule: Record<string, unknown>) => unknown) =>
  recorded((record) => {
    const copy = structuredClone(record) as unknown as {
      kernels: Record<string, { schedule: Record<string, unknown> }>
    }
    for (const kernel of Object.values(copy.kernels))
      kernel.schedule = change(kernel.schedule) as typeof kernel.schedule
    return copy
  })

test.each<[string, () => unknown, RegExp]>([
  ["a list", () => [], /the record is not an object/],
  ["another format", () => recorded((r) => ({ ...r, format: 2 })), /format is 2, this compiler reads 3/],
  ["no target", () => recorded(({ target: _, ...r }) => r), /target is none of webgpu, wasm/],
  ["no device", () => recorded((r) => ({ ...r, device: 3 })), /device is not a text/],
  [
    "threads of 0",
    () => withSchedule((s) => ({ ...s, threads: 0 })),
    /schedule\.threads is 0, not a whole number from 1 on/,
  ],
  ["an unknown field", () => withSchedule((s) => ({ ...s, warps: 2 })), /schedule\.warps is no field of it/],
  ["no stores", () => withSchedule(({ stores: _, ...s }) => s), /schedule\.stores is missing/],
  [
    "a block that is no number",
    () => withSchedule((s) => ({ ...s, stores: [{ tile: { row: { block: "some" } }, reduce: {} }] })),
    /stores\[0\]\.tile\.row\.block is "some", not a whole number from 1 on or "all"/,
  ],
])("%s is refused with the place", async (_, make, message) => {
  const path = join(folder, "broken.json")
  await writeFile(path, JSON.stringify(make()))
  await expect(readTuned(path)).rejects.toThrow(message)
})

test("a file that is no JSON is refused", async () => {
  const path = join(folder, "text.json")
  await writeFile(path, "{")
  await expect(readTuned(path)).rejects.toThrow(/text\.json is not JSON/)
})
