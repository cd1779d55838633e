/**
 * Every kernel that is emitted for published models, compiled by nvcc for three architectures: nothing is spilled, nothing is warned of, and a
 * multiprocessor holds as many blocks as the kernel's bounds ask for.
 *
 *     npm run test:nvcc          kernels that are equal but for their names once; a few units for each model
 *
 * What differs from an earlier one by numbers alone is compiled for one architecture; so is what reads weights in formats.
 */
import { beforeAll, describe, expect, test } from "vitest"
import { type CompileOptions, compileProgram } from "../../compiler/compile.js"
import type { Artifact, ArtifactKernel, Precision } from "../../runtime/artifact.js"
import { unitOf } from "../../runtime/devices/cuda/compilers/modules.js"
import { nvccAt } from "../../runtime/devices/cuda/compilers/nvcc.js"
import { findLibrary } from "../../runtime/devices/cuda/libraries.js"
import { formatNamed } from "../../runtime/weights/formats/named.js"
import { required } from "../devices/conformance.js"
import { configured, shapes } from "../explain/shapes.js"
import { type Known, known } from "./known.js"
import { type Bounds, excess, type KernelReport, limits, reportsOf, warningsOf } from "./report.js"

const { path, looked } = findLibrary("nvcc")
if (path === undefined && required("nvcc")) throw new Error(`nvcc is required and not there: ${looked.join(", ")}`)
if (path === undefined) console.log(`nvcc: skipped, there is none on this machine (looked for ${looked.join(", ")})`)
const nvcc = path === undefined ? undefined : nvccAt(path, { more: ["-Xptxas", "-v"], minutes: 60 })
const architectures = Object.keys(limits)

/** What is compiled in both precisions; of the others the one that GPUs use. */
const precisions = (shape: string): readonly Precision[] => (shape === "tales" ? ["fast", "exact"] : ["fast"])
const published = shapes.filter((shape) => !shape.includes(" ") || shape.startsWith("gpt"))

/** An H100, whose matrix units others lack, and the architecture that stands for all where one has to. */
const [adapter, typical] = [{ subgroupSize: 32, capability: 90 }, "sm_90a"]

/** How a model is compiled, and for which architectures. */
interface Variant {
  readonly shape: string
  readonly title: string
  readonly architectures: readonly string[]
  readonly options: Partial<CompileOptions>
}

/** For any architecture, and for an H100 alone. */
function variantsOf(shape: string): readonly Variant[] {
  const own = precisions(shape)
  const forAll = own.map((precision) => ({
    shape,
    title: `${shape} ${precision}`,
    architectures,
    options: { precision },
  }))
  if (!own.includes("fast")) return forAll
  const options = { precision: "fast", adapter } as const
  return [...forAll, { shape, title: `${shape} fast for 90`, architectures: [typical], options }]
}

/** Formats that people have: of GGUF, of AWQ and GPTQ, of GPTQ in an order of its own, of FP8 in blocks. What picks a token reads no weights. */
const formats: Readonly<Record<string, readonly string[]>> = {
  "qwen3-8b": ["q4_k", "q8_0", "q6_k", "int4-g128", "int4-g128-ordered", "fp8-128x128"],
  "qwen3-30b-a3b": ["q4_k", "fp8-128x128"],
}
const inFormats: readonly Variant[] = Object.entries(formats).flatMap(([shape, names]) =>
  names.map((name) => ({
    shape,
    title: `${shape} ${name}`,
    architectures: [typical],
    options: { precision: "fast", adapter, entries: ["step", "prefill"], storage: () => formatNamed(name)! },
  })),
)

/** Milliseconds: ten minutes of two processors, on a machine that has much else to do. */
const patience = 3_600_000

/** Kernels of a unit, at most: several units are compiled at once. */
const unitKernels = 12

interface Kernel {
  /** For people: its group and its name there. */
  readonly name: string
  /** The model, its precision and the entries that launch it. */
  readonly group: string
  readonly kernel: ArtifactKernel
  readonly bounds: Bounds
  readonly architectures: readonly string[]
}

interface Unit {
  readonly arch: string
  readonly kernels: readonly Kernel[]
  readonly log: string
  readonly refused: boolean
}

/** The kernel's text without its name. */
const bare = ({ source, symbol }: ArtifactKernel): string =>
  source.replace(/^\/\/.*\n/, "").replaceAll(new RegExp(`(\\b|_)${symbol}\\b`, "g"), "_")

const boundsOf = ({ source, symbol, threads, sharedBytes }: ArtifactKernel): Bounds => {
  const [, stated, resident] = new RegExp(`KERNEL\\((\\d+), (\\w+)\\) ${symbol}\\(`).exec(source)!
  expect(Number(stated)).toBe(threads)
  // A number, or a name that stands for one.
  const wished = !/^\d+$/.test(resident!)
  const number = wished ? new RegExp(`^#define ${resident} (\\d+)$`, "m").exec(source)![1] : resident
  return { threads, resident: Number(number), wished, sharedBytes: sharedBytes! }
}

/** Texts of kernels, and the same without their numbers. */
interface Seen {
  readonly texts: Set<string>
  readonly shapes: Set<string>
}

/** Kernels of an artifact of which no equal one was seen. */
function fresh(artifact: Artifact, { title, architectures }: Variant, { texts, shapes }: Seen): readonly Kernel[] {
  return artifact.kernels.flatMap((kernel, i) => {
    // Preludes differ in parts that kernels have or do not call.
    const text = bare(kernel)
    if (texts.has(text)) return []
    texts.add(text)
    const shape = text.replaceAll(/\b\d+(\.\d+f?)?\b/g, "0")
    const own = shapes.has(shape) ? [typical] : architectures
    shapes.add(shape)
    const entries = Object.entries(artifact.entries).flatMap(([entry, { launches }]) =>
      launches.some((launch) => launch.kernel === i) ? [entry] : [],
    )
    const group = `${title} ${entries.join("+")}`
    return [{ group, name: `${group} ${kernel.name}`, kernel, bounds: boundsOf(kernel), architectures: own }]
  })
}

async function compileUnit(prelude: string | undefined, kernels: readonly Kernel[], arch: string): Promise<Unit> {
  const text = unitOf(
    { prelude },
    kernels.map((k) => k.kernel),
  )
  const { image, log } = await nvcc!.compile(text, { arch, kind: "cubin" })
  return { arch, kernels, log, refused: image === undefined }
}

async function compileAll(): Promise<readonly Unit[]> {
  const seen = { texts: new Set<string>(), shapes: new Set<string>() }
  const units: Promise<Unit>[] = []
  for (const variant of [...published.flatMap(variantsOf), ...inFormats]) {
    const { artifact } = compileProgram(await configured(variant.shape), "model", {
      target: "cuda",
      storage: () => "bf16",
      ...variant.options,
    })
    const kernels = fresh(artifact, variant, seen)
    console.log(`${variant.title}: ${artifact.kernels.length} kernels, ${kernels.length} of them new`)
    for (const arch of variant.architectures) {
      const own = kernels.filter((k) => k.architectures.includes(arch))
      for (let from = 0; from < own.length; from += unitKernels)
        units.push(compileUnit(artifact.prelude, own.slice(from, from + unitKernels), arch))
    }
    // Lets what was begun go on: compiling a model never waits.
    await new Promise((resolve) => setTimeout(resolve))
  }
  return Promise.all(units)
}

describe.skipIf(nvcc === undefined)("every kernel of published models", () => {
  let units: readonly Unit[]
  let found: readonly (Kernel & { readonly arch: string; readonly report: KernelReport })[]
  beforeAll(async () => {
    units = await compileAll()
    found = units.flatMap(({ arch, kernels, log }) => {
      const reports = reportsOf(log)
      return kernels.flatMap((k) => {
        const report = reports.get(k.kernel.symbol!)
        return report === undefined ? [] : [{ ...k, arch, report }]
      })
    })
  }, patience)
  const named = (wrong: typeof found, say: (k: (typeof found)[number]) => string) =>
    wrong.map((k) => `${k.arch} ${k.name}: ${say(k)}`)

  test("compiles, and is reported on", () => {
    expect(units.filter((u) => u.refused).map((u) => u.log)).toEqual([])
    expect(found.length).toBe(units.reduce((n, u) => n + u.kernels.length, 0))
    expect(found.length).toBeGreaterThan(100 * architectures.length)
    const isThere = ({ title }: Variant) => found.some(({ group }) => group.startsWith(`${title} `))
    expect(inFormats.filter((variant) => !isThere(variant)).map(({ title }) => title)).toEqual([])
  })

  const keysOf = (wrong: typeof found): readonly string[] => [
    ...new Set(wrong.map((k) => `${k.group} ${k.kernel.name}`)),
  ]
  /** Kernels of each model and its entries, whatever their number and the architecture. */
  const counted = (wrong: typeof found): Readonly<Record<string, number>> => {
    const groups = new Map<string, number>()
    for (const key of keysOf(wrong)) {
      const group = key.slice(0, key.lastIndexOf(" "))
      groups.set(group, (groups.get(group) ?? 0) + 1)
    }
    return Object.fromEntries([...groups].sort())
  }
  /** What is more than is known; what is less is told. */
  const beyondKnown = (wrong: typeof found, what: keyof Known): readonly string[] => {
    const counts = counted(wrong)
    for (const [group, k] of Object.entries(known))
      if ((counts[group] ?? 0) < (k[what] ?? 0))
        console.log(`${group}: ${what} is ${counts[group] ?? 0} now, ${k[what]} in known.ts`)
    return Object.entries(counts).flatMap(([group, n]) => {
      const most = known[group]?.[what] ?? 0
      return n > most ? [`${group}: ${n}, where ${most} are known`] : []
    })
  }

  test("keeps all that it computes in registers, but for those that are known", () => {
    const spilled = found.filter(({ report }) => report.spilled > 0)
    const all = named(spilled, (k) => `${k.report.spilled} bytes spilled`)
    expect(beyondKnown(spilled, "spilled"), all.join("\n")).toEqual([])
  })

  /** Bytes of a lane's arrays that are in memory because the kernel says so. */
  const asideBytes = (source: string): number =>
    [...source.matchAll(/f32 \w+_aside\[(\d+)\]/g)].reduce((n, [, size]) => n + 4 * Number(size), 0)

  test("chooses no element of a register at run time, but for those that are known", () => {
    const chosen = found.filter(({ report: { stack, frame }, kernel }) => stack - frame > asideBytes(kernel.source))
    const all = named(chosen, (k) => `${k.report.stack} bytes of arrays in memory`)
    expect(beyondKnown(chosen, "chosen"), all.join("\n")).toEqual([])
  })

  test("is warned of by nobody", () => {
    expect(units.flatMap((u) => warningsOf(u.log).map((line) => `${u.arch} ${line}`))).toEqual([])
  })

  test("leaves room for as many blocks as its bounds say", () => {
    const beyond = found.filter((k) => excess(k.arch, k.bounds, k.report).length > 0)
    // Those that would have spilled were compiled without their wish, for one block at least.
    const alone = ({ bounds }: (typeof found)[number]) => (bounds.wished ? { ...bounds, resident: 1 } : bounds)
    const refused = beyond.filter((k) => excess(k.arch, alone(k), k.report).length > 0)
    expect(named(refused, (k) => excess(k.arch, alone(k), k.report).join(", "))).toEqual([])
    const wished = found.filter((k) => k.bounds.wished)
    const kept = wished.length - beyond.length
    console.log(`${kept} of ${wished.length} wishes for several blocks at a time are kept`)
    expect(kept).toBeGreaterThan(wished.length / 2)
  })
})

describe.skipIf(nvcc === undefined)("what the test would see", () => {
  const compiled = async (text: string, arch = "sm_80") => (await nvcc!.compile(text, { arch, kind: "cubin" })).log

  test("of a kernel that has more values than registers, and one that chooses among them", async () => {
    const sums = (n: number) =>
      Array.from({ length: n }, (_, i) => `v[${i}] = v[${i}] * x[${i}] + x[v[${n - 1 - i}] > 0 ? 1 : 2]`)
    const log = await compiled(`extern "C" __global__ void __launch_bounds__(1024, 2) narrow(float* x) {
  float v[96];
  #pragma unroll
  for (int i = 0; i < 96; i++) v[i] = x[i * 1024 + threadIdx.x];
  for (int turn = 0; turn < 64; turn++) { ${sums(96).join("; ")}; }
  #pragma unroll
  for (int i = 0; i < 96; i++) x[i * 1024 + threadIdx.x] = v[i];
}
extern "C" __global__ void chosen(float* x, int at) {
  float v[64];
  for (int i = 0; i < 64; i++) v[i] = x[i];
  for (int i = 0; i < 64; i++) v[(int)x[i]] = 1;
  x[0] = v[at];
}`)
    const reports = reportsOf(log)
    expect(reports.get("narrow")!.spilled).toBeGreaterThan(0)
    expect(reports.get("chosen")).toMatchObject({ spilled: 0, stack: 256 })
  })

  test("of shared memory and registers beyond what is there", async () => {
    const log = await compiled(`extern "C" __global__ void __launch_bounds__(256, 8) shares(float* x) {
  __shared__ float s[5000];
  s[threadIdx.x] = x[0]; __syncthreads(); x[threadIdx.x] = s[255 - threadIdx.x];
}`)
    const report = reportsOf(log).get("shares")!
    expect(report.shared).toBe(20_000)
    const bounds = { threads: 256, resident: 8, sharedBytes: 0 }
    expect(excess("sm_80", bounds, report)).toEqual(["168192 bytes of shared memory of 167936"])
    expect(excess("sm_80", { ...bounds, resident: 7 }, report)).toEqual([])
    expect(excess("sm_120", { ...bounds, resident: 1, sharedBytes: 90_000 }, report)).toEqual([
      "110000 bytes of shared memory in a block of 101376",
      "111024 bytes of shared memory of 102400",
    ])
    expect(excess("sm_120", { ...bounds, resident: 7 }, { ...report, shared: 0, registers: 100 })).toEqual([
      "186368 registers of 65536",
      "1792 threads of 1536",
    ])
  })

  test("of a warning", async () => {
    const log = await compiled(`extern "C" __global__ void warned(float* x) { int unused; x[0] = 1; }`)
    expect(warningsOf(log).length).toBeGreaterThan(0)
    expect(
      warningsOf("ptxas info    : (C7515) Potential Performance Loss: wgmma.mma_async instructions are serialized"),
    ).toHaveLength(1)
  })
})
