/**
 * Subgroup matrices of a device, which are experimental: whether its adapter offers them, and whether they compute what they should there.
 *
 *   adapter offers 16 × 16 × 16 of f16 with sums in f32   →   four subgroups multiply whole numbers in each way in which kernels do
 *     results are right         →   { asked: true, spelling: "template", … }
 *     they differ, or no text of the test compiles   →   { asked: true, refused: "3 of 4096 results of their test are wrong", … }
 *
 * Whole numbers below 2^5 in f16 have products and sums that f32 holds, and f16 does not: another order of additions changes nothing, sums in f16 do.
 */
import { thrownText, WeftError } from "../../errors.js"
import {
  type MatrixSpelling,
  type MatrixSupport,
  matrixDirectives,
  matrixShape,
  matrixSpellings,
} from "../../matrices.js"
import { bufferUsage, mapRead } from "./constants.js"
import { watch } from "./scopes.js"

/** The feature of an adapter that has them. */
export const matrixFeature = "chromium-experimental-subgroup-matrix" as GPUFeatureName

/** Dawn's toggles that bring the feature, and f16 on GPUs of NVIDIA, without which it has whole numbers only. */
export const experimentalToggles = ["allow_unsafe_apis", "vulkan_enable_f16_on_nvidia"]

/** One of `GPUAdapterInfo.subgroupMatrixConfigs`. */
interface MatrixConfig {
  readonly componentType: string
  readonly resultComponentType: string
  readonly M: number
  readonly N: number
  readonly K: number
}

const shapeText = (m: number, n: number, k: number) => `${m} × ${n} × ${k}`
const { m, n, k, lanes } = matrixShape
const wanted = `f16 → f32 ${shapeText(m, n, k)}`

/** Features to ask of an adapter for matrices of f16. */
export const matrixFeatures = (adapter: GPUAdapter): readonly GPUFeatureName[] =>
  adapter.features.has(matrixFeature) ? [matrixFeature] : []

/** What comes of asking for them; a device that has them is tested. */
export async function matrixSupport(adapter: GPUAdapter, gpu: GPUDevice, asked: boolean): Promise<MatrixSupport> {
  const { info } = adapter
  const configs = (info as { subgroupMatrixConfigs?: readonly MatrixConfig[] }).subgroupMatrixConfigs ?? []
  const offered = configs.map((c) => `${c.componentType} → ${c.resultComponentType} ${shapeText(c.M, c.N, c.K)}`)
  const found = { asked, offered }
  if (!asked) return found
  const lacking = lacksOf(info, gpu, offered)
  if (lacking !== undefined) return { ...found, refused: lacking }
  try {
    return { ...found, spelling: await tested(gpu) }
  } catch (error) {
    return { ...found, refused: thrownText(error).split("\n")[0]! }
  }
}

/** The first thing that keeps them from being used before anything is tried. */
function lacksOf(info: GPUAdapterInfo, gpu: GPUDevice, offered: readonly string[]): string | undefined {
  if (!gpu.features.has(matrixFeature)) return `the adapter does not offer ${matrixFeature}`
  if (!gpu.features.has("shader-f16")) return "the adapter has no shader-f16"
  if (!offered.includes(wanted)) return `the adapter does not list ${wanted}`
  if (info.subgroupMinSize !== lanes || info.subgroupMaxSize !== lanes)
    return `its subgroups have ${info.subgroupMinSize} to ${info.subgroupMaxSize} lanes, not ${lanes}`
  return undefined
}

/** In words: asked for, passed, or why not. */
export function matrixWords({ asked, spelling, refused }: MatrixSupport): string {
  if (!asked) return "not asked for"
  return spelling === undefined ? `not used: ${refused}` : `used: ${wanted}, right in their test`
}

// The test. Memory holds whole numbers; a way to read it is a formula of indices, and each subgroup has rows of its own.

const subgroups = 4
/** Elements that are folded: two products are added up. */
const depth = 2 * k
/** Elements from one row, or column, to the next: others than there are in it, and multiples of what hardware reads at once. */
const [long, short] = [depth + 8, 16 + 8]
const region = Math.max(16 * long, depth * short)
/** Operands of the columns, for all subgroups, and of the rows of each. */
const held = region * (1 + subgroups)
const drained = 16 * short
const ways = [
  { rows: false, columns: false, drain: false },
  { rows: false, columns: true, drain: true },
  { rows: true, columns: false, drain: false },
  { rows: true, columns: true, drain: true },
] as const
const results = ways.length * subgroups * m * n

/** What memory holds at a place: −32 … 31. */
const numberAt = (at: number) => (Math.imul(at, 0x9e3779b1) >>> 26) - 32

/** Where element (row, column) lies. */
const place = (byColumns: boolean, stride: number, row: number, column: number) =>
  byColumns ? column * stride + row : row * stride + column

/** The text of the test. */
export function matrixTest(spelling: MatrixSpelling): string {
  const { load, store } = matrixSpellings[spelling]
  const products = ways.flatMap(({ rows, columns, drain }, way) => {
    const step = (i: number) => {
      const a = { array: "held", byColumns: rows, stride: `${rows ? short : long}u` }
      const b = { array: "held", byColumns: columns, stride: `${columns ? long : short}u` }
      const from = `${region}u * (subgroup + 1u) + ${place(rows, rows ? short : long, 0, i * k)}u`
      const left = load(`subgroup_matrix_left<f16, ${k}, ${m}>`, { ...a, offset: from })
      const right = load(`subgroup_matrix_right<f16, ${n}, ${k}>`, {
        ...b,
        offset: `${place(columns, columns ? long : short, i * k, 0)}u`,
      })
      return `  c${way} = subgroupMatrixMultiplyAccumulate(${left}, ${right}, c${way});`
    }
    const at = { array: "drained", offset: `${drained}u * subgroup`, stride: `${short}u`, byColumns: drain }
    const [row, column] = [`(i % ${m * n}u / ${n}u)`, `(i % ${n}u)`]
    const from = drain ? `${column} * ${short}u + ${row}` : `${row} * ${short}u + ${column}`
    return [
      `  var c${way}: subgroup_matrix_result<f32, ${n}, ${m}>;`,
      step(0),
      step(1),
      `  ${store(`c${way}`, at)};`,
      "  workgroupBarrier();",
      `  for (var i = lane; i < ${subgroups * m * n}u; i += ${subgroups * lanes}u) {`,
      `    y[${way * subgroups * m * n}u + i] = drained[${drained}u * (i / ${m * n}u) + ${from}];`,
      "  }",
      "  workgroupBarrier();",
    ]
  })
  return [
    ...matrixDirectives,
    "@group(0) @binding(0) var<storage, read_write> y: array<f32>;",
    `var<workgroup> held: array<f16, ${held}>;`,
    `var<workgroup> drained: array<f32, ${drained * subgroups}>;`,
    `@compute @workgroup_size(${subgroups * lanes})`,
    "fn main(@builtin(local_invocation_index) lane: u32, @builtin(subgroup_id) subgroup: u32) {",
    `  for (var i = lane; i < ${held}u; i += ${subgroups * lanes}u) {`,
    "    held[i] = f16(i32((i * 0x9e3779b1u) >> 26u) - 32);",
    "  }",
    "  workgroupBarrier();",
    ...products,
    "}",
    "",
  ].join("\n")
}

/** What the test finds where matrices are right. */
export function expectedResults(): Float32Array {
  const found = new Float32Array(results)
  let at = 0
  for (const { rows, columns } of ways)
    for (let subgroup = 1; subgroup <= subgroups; subgroup++)
      for (let row = 0; row < m; row++)
        for (let column = 0; column < n; column++) {
          let sum = 0
          for (let i = 0; i < depth; i++) {
            const a = numberAt(region * subgroup + place(rows, rows ? short : long, row, i))
            sum += a * numberAt(place(columns, columns ? long : short, i, column))
          }
          found[at++] = sum
        }
  return found
}

/**
 * Runs the test by the first spelling that the device understands.
 *
 * @throws WeftError `webgpu/matrices` where results differ or nothing compiles
 */
async function tested(gpu: GPUDevice): Promise<MatrixSpelling> {
  let problem: string | undefined
  for (const spelling of Object.keys(matrixSpellings) as readonly MatrixSpelling[]) {
    const made = await pipelineOf(gpu, matrixTest(spelling))
    if (typeof made === "string") {
      problem ??= made
      continue
    }
    const [found, right] = [await ran(gpu, made), expectedResults()]
    const wrong = right.reduce((count, value, i) => count + (found[i] === value ? 0 : 1), 0)
    if (wrong === 0) return spelling
    throw new WeftError("webgpu/matrices", `${wrong} of ${right.length} results of their test are wrong`)
  }
  throw new WeftError("webgpu/matrices", `their test does not compile: ${problem}`)
}

/** The pipeline of a text, or why there is none. */
async function pipelineOf(gpu: GPUDevice, code: string): Promise<GPUComputePipeline | string> {
  const { made, error } = watch(gpu, () => gpu.createShaderModule({ label: "matrices", code }))
  const compute = { module: made, entryPoint: "main" }
  const pipeline = gpu.createComputePipelineAsync({ label: "matrices", layout: "auto", compute })
  const [settled, problem] = await Promise.allSettled([pipeline, error])
  if (problem.status === "fulfilled" && problem.value !== undefined) {
    const { messages } = await made.getCompilationInfo()
    return messages.find((message) => message.type === "error")?.message ?? problem.value.message
  }
  return settled.status === "fulfilled" ? settled.value : thrownText(settled.reason).split("\n")[0]!
}

/** What a pipeline writes. @throws WeftError `webgpu/matrices` */
async function ran(gpu: GPUDevice, pipeline: GPUComputePipeline): Promise<Float32Array> {
  const bytes = 4 * results
  const { made, error } = watch(gpu, () => {
    const y = gpu.createBuffer({ size: bytes, usage: bufferUsage.storage | bufferUsage.copySource })
    const read = gpu.createBuffer({
      label: "matrices",
      size: bytes,
      usage: bufferUsage.mapRead | bufferUsage.copyTarget,
    })
    const layout = pipeline.getBindGroupLayout(0)
    const group = gpu.createBindGroup({ layout, entries: [{ binding: 0, resource: { buffer: y } }] })
    const encoder = gpu.createCommandEncoder()
    const pass = encoder.beginComputePass()
    pass.setPipeline(pipeline)
    pass.setBindGroup(0, group)
    pass.dispatchWorkgroups(1)
    pass.end()
    encoder.copyBufferToBuffer(y, 0, read, 0, bytes)
    gpu.queue.submit([encoder.finish()])
    return { y, read }
  })
  try {
    const problem = await error
    if (problem !== undefined) throw new WeftError("webgpu/matrices", `their test does not run: ${problem.message}`)
    await made.read.mapAsync(mapRead)
    return new Float32Array(made.read.getMappedRange().slice(0))
  } finally {
    made.y.destroy()
    made.read.destroy()
  }
}
