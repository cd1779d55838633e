/**
 * The read ceiling: how fast this device reads memory when a kernel does nothing else. The kernel is made by the project's own compiler.
 *
 *     for g in grid: for l in threads: for k: for u in 8: sum_u += x[((g · K + k) · 8 + u) · threads · 4 + 4 l … + 4]     16 bytes a load
 */
import { add, fetch, literal, mul, splat, variable, withTable } from "../../compiler/ir/expression.js"
import type { LoopKernel, Statement } from "../../compiler/ir/loop.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { targetFor } from "../../compiler/targets/target.js"
import type { Device } from "../../runtime/devices/device.js"

const unrolled = 8
const width = 4
const mostBytes = 256 << 20
/** Enough that every core of a large GPU has threads that wait for memory. */
const groups = 1024
/** Launches of one submit, where one alone is so short that submitting it and reading back are a part of its time. */
const launches = 16
const shortMilliseconds = 5
/** A device that has waited for kernels to be compiled is slow at first: 1.4 TB/s in place of 3.5 were seen on an H200. */
const wakingMilliseconds = 1000

/** Bytes per second, the best of `repetitions`; at least 64 MiB are read each time. */
export async function readCeiling(device: Device, repetitions = 7): Promise<number> {
  const threads = device.kind === "wasm" ? 1 : 64
  const perStep = groups * threads * unrolled * width * 4
  const bytes = Math.floor(Math.min(mostBytes, device.limits.bindingBytes) / perStep) * perStep
  const kernel = withTable(() => readKernel(threads, bytes / perStep))
  // Any adapter can do what this kernel does.
  const compiled = await device.compile(targetFor(device.kind).emit([kernel], []), 0)
  const from = device.allocate(bytes, "ceiling")
  const to = device.allocate(groups * threads * width * 4, "ceiling sums")
  try {
    // Pages that were never written are one page of zeros, which every cache holds.
    const ones = new Uint8Array(new Float32Array(1 << 20).fill(1).buffer)
    for (let at = 0; at < bytes; at += ones.length) device.upload(from, at, ones.subarray(0, bytes - at))
    const command = { kernel: compiled[0]!, buffers: [from, to], groups }
    const timed = async (count: number) => {
      const recording = device.record(Array.from({ length: count }, () => command))
      let least = Number.POSITIVE_INFINITY
      for (let i = 0; i <= repetitions; i++) {
        const started = performance.now()
        device.submit([recording], new Int32Array(0))
        await device.read(to, 0, 16)
        least = Math.min(least, performance.now() - started)
      }
      return least
    }
    const one = await timed(1)
    if (one > shortMilliseconds) return (1000 * bytes) / one
    const begun = performance.now()
    while (performance.now() - begun < wakingMilliseconds) await timed(launches)
    // What a submit takes besides its launches is the same for both.
    const [some, more] = [await timed(launches), await timed(2 * launches)]
    return (1000 * bytes * launches) / (more - some)
  } finally {
    from.destroy()
    to.destroy()
  }
}

/** Each thread of each group reads `steps` · 8 vectors and stores their sum. */
function readKernel(threads: number, steps: number): LoopKernel {
  const n = (value: number) => literal(value)
  const sum = (u: number) => variable(`sum${u}`, "f32", width)
  const units = Array.from({ length: unrolled }, (_, u) => u)
  const loop = (bind: "grid" | "lane" | "serial", name: string, extent: number, body: readonly Statement[]) =>
    ({ kind: "for", variable: name, extent: n(extent), bind, body }) satisfies Statement
  const row = mul(add(mul(variable("g"), n(steps)), variable("k")), n(unrolled))
  const offset = (u: number): Expression => mul(add(mul(add(row, n(u)), n(threads)), variable("l")), n(width))
  const body: Statement[] = [
    ...units.map(
      (u): Statement => ({ kind: "let", name: `sum${u}`, value: splat(literal(0, "f32"), width), mutable: true }),
    ),
    loop(
      "serial",
      "k",
      steps,
      units.map((u) => ({ kind: "assign", name: `sum${u}`, value: add(sum(u), fetch("x", offset(u), "f32", width)) })),
    ),
    {
      kind: "store",
      array: "y",
      offset: mul(add(mul(variable("g"), n(threads)), variable("l")), n(width)),
      value: units.map((u): Expression => sum(u)).reduce(add),
    },
  ]
  const buffer = (name: string, elements: number, access: "read" | "write") =>
    ({ name, dtype: "f32", storage: "f32", size: n(elements), access }) as const
  return {
    name: "read",
    buffers: [
      buffer("x", groups * threads * steps * unrolled * width, "read"),
      buffer("y", groups * threads * width, "write"),
    ],
    symbols: [],
    threads,
    groups,
    body: [loop("grid", "g", groups, [loop("lane", "l", threads, body)])],
  }
}
