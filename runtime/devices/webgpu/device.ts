/**
 * The WebGPU device: Dawn in Node, the browser's own in a page.
 *
 *   const device = await createWebgpuDevice({ adapter: "any" })
 *   const x = device.allocate(1024, "x")                         zeroed
 *   const [kernel] = await device.compile({ kernels }, 1)
 *   const step = device.record([{ kernel, buffers: [x], groups: 4 }])
 *   device.submit([step], Int32Array.of(256))                    one write of the symbols, one compute pass, one submit
 *   const bytes = await device.read(x, 0, 1024)
 *
 * Bind groups are built in `record`; a submit only replays them. WebGPU reports errors later: those of memory and recordings wait for `settle`,
 * those of a submit reject the next read. A loss rejects what waits, and every call after it is refused.
 */

import { WeftError } from "../../errors.js"
import type { MatrixSupport } from "../../matrices.js"
import type { Command, Device, DeviceBuffer, Recording } from "../device.js"
import { describe, findAdapter, isSoftware, leavesChecksOut, type WebgpuOptions } from "./adapter.js"
import { createBelt } from "./belt.js"
import { createBuffer, type WebgpuBuffer } from "./buffer.js"
import { bufferUsage, dispatchLimit, symbolBytes } from "./constants.js"
import { matrixFeatures, matrixSupport } from "./matrices.js"
import { createPipelines, type WebgpuKernel } from "./pipelines.js"
import { type Watched, watch } from "./scopes.js"
import { createStaging } from "./staging.js"

export interface WebgpuAdapterInfo {
  readonly description: string
  readonly vendor: string
  readonly architecture: string
  /** 0 where the adapter has no subgroups. */
  readonly subgroupMinSize: number
  readonly subgroupMaxSize: number
  /** Subgroup matrices, and what came of asking for them. */
  readonly matrices: MatrixSupport
  /** What kernels may use; the shape of the compiler's own record. */
  readonly limits: {
    readonly f16: boolean
    readonly invocations: number
    readonly workgroupBytes: number
    readonly storageBuffers: number
    readonly subgroups: boolean
    readonly subgroupSize: number
  }
}

export interface WebgpuDevice extends Device {
  readonly kind: "webgpu"
  readonly adapterInfo: WebgpuAdapterInfo
}

/** Uploads of at least so many bytes need memory of their own on the way, which may be refused. */
const watchedUpload = 1 << 20

interface Dispatch {
  readonly pipeline: GPUComputePipeline
  readonly group: GPUBindGroup
  readonly x: number
  readonly y: number
}
interface WebgpuRecording extends Recording {
  readonly dispatches: readonly Dispatch[]
}

/** Opens a device. Throws a WeftError: `webgpu/missing` without an implementation, `webgpu/no-adapter` without an adapter of the kind. */
export async function createWebgpuDevice(options: WebgpuOptions = {}): Promise<WebgpuDevice> {
  const adapter = await findAdapter(options)
  const { experimentalGpu = false } = options
  const gpu = await openDevice(adapter, experimentalGpu ? matrixFeatures(adapter) : [])
  const counters = { pipelines: 0, submits: 0, commands: 0, allocatedBytes: 0 }
  const limits = {
    bufferBytes: gpu.limits.maxBufferSize,
    bindingBytes: Math.min(gpu.limits.maxBufferSize, gpu.limits.maxStorageBufferBindingSize),
  }
  const buffers = new Set<WebgpuBuffer>()
  const compiled = new WeakSet<object>()
  const recorded = new WeakSet<object>()
  /** What the device found wrong with buffers and recordings, when it has looked at them. */
  const problems = new WeakMap<object, Promise<WeftError | undefined>>()
  /** The error for memory that is asked for now, should the device refuse it. */
  const refusal = (label: string, bytes: number) => {
    const held = counters.allocatedBytes
    return (error: GPUError | undefined) =>
      error &&
      new WeftError(
        "device/out-of-memory",
        `'${label}' needs ${bytes} bytes, which the device refuses beside the ${held} that it holds: ${error.message}`,
        { hint: "use a smaller model or context, or free what else is on the device" },
      )
  }
  const symbolUsage = bufferUsage.uniform | bufferUsage.copyTarget
  const { made: symbolBuffer, error: symbolError } = watch(gpu, () =>
    gpu.createBuffer({ label: "symbols", size: symbolBytes, usage: symbolUsage }),
  )
  const info = adapterInfo(adapter, gpu, await matrixSupport(adapter, gpu, experimentalGpu))
  const pipelines = createPipelines(gpu, info, () => counters.pipelines++)
  const staging = createStaging(gpu, refusal)
  let lostReason: string | undefined
  let disposed = false
  let pending: WeftError | undefined

  const waiting = new Set<(error: WeftError) => void>()
  const endWaiting = (reason: string) => {
    for (const reject of waiting) reject(new WeftError("device/lost", reason))
  }
  const lost = gpu.lost.then((info) => {
    lostReason = info.message === "" ? info.reason : `${info.reason}: ${info.message}`
    endWaiting(`the device was lost (${lostReason})`)
    return lostReason
  })
  const onError = (event: GPUUncapturedErrorEvent) => {
    event.preventDefault()
    pending ??= deferredError(event.error)
  }
  gpu.addEventListener("uncapturederror", onError)

  const takePending = () => {
    const error = pending
    pending = undefined
    return error
  }
  /** Refuses every use after a loss. */
  const alive = () => {
    if (disposed) throw new WeftError("device/lost", "this device has been disposed of")
    if (lostReason !== undefined) throw new WeftError("device/lost", `the device was lost (${lostReason})`)
  }
  /** Waits for the device, which may be lost meanwhile: some drivers never come back then. */
  const orLost = <T>(work: Promise<T>): Promise<T> =>
    new Promise<T>((resolve, reject) => {
      waiting.add(reject)
      work.then(resolve, reject).finally(() => waiting.delete(reject))
    })
  const own = (buffer: DeviceBuffer): WebgpuBuffer => {
    const found = buffer as WebgpuBuffer
    if (!buffers.has(found))
      throw new WeftError("device/buffer-destroyed", `buffer '${found.label}' is not alive on this device`)
    return found
  }
  const inside = (buffer: WebgpuBuffer, offset: number, bytes: number, what: string) => {
    if (!(Number.isInteger(offset) && offset >= 0 && bytes >= 0 && offset + bytes <= buffer.bytes))
      throw new WeftError(
        "device/out-of-range",
        `${what} of bytes ${offset} to ${offset + bytes} of '${buffer.label}', which has ${buffer.bytes}`,
      )
  }

  const dispatch = ({ kernel, buffers: bound, groups }: Command): Dispatch => {
    if (!compiled.has(kernel))
      throw new WeftError("device/record-kernel", `kernel '${kernel.name}' is not of this device`)
    const { pipeline, layout, bindings, name } = kernel as WebgpuKernel
    if (bound.length !== bindings)
      throw new WeftError("device/record-bindings", `kernel '${name}' binds ${bindings} buffers, not ${bound.length}`)
    if (!(Number.isInteger(groups) && groups > 0 && groups <= dispatchLimit ** 2))
      throw new WeftError("device/record-groups", `kernel '${name}' cannot be launched with ${groups} workgroups`)
    const entries = [symbolBuffer, ...bound.map((b) => own(b).gpu)].map((buffer, binding) => ({
      binding,
      resource: { buffer },
    }))
    const x = Math.min(groups, dispatchLimit)
    return { pipeline, group: gpu.createBindGroup({ label: name, layout, entries }), x, y: Math.ceil(groups / x) }
  }

  const device: WebgpuDevice = {
    kind: "webgpu",
    description: describe(adapter.info),
    fallback: isSoftware(adapter.info),
    // Encoding the commands of a step takes the host about as long as a fast device takes to run them. Software runs where the host does.
    ahead: isSoftware(adapter.info) ? 1 : 2,
    limits,
    adapterInfo: info,
    unchecked: leavesChecksOut(options),
    counters,
    lost,

    allocate(bytes, label) {
      alive()
      if (bytes > limits.bindingBytes)
        throw new WeftError(
          "device/out-of-memory",
          `'${label}' needs ${bytes} bytes; this adapter binds at most ${limits.bindingBytes}`,
        )
      const freed = () => {
        buffers.delete(buffer)
        counters.allocatedBytes -= bytes
      }
      const { made: buffer, error }: Watched<WebgpuBuffer> = watch(gpu, () => createBuffer(gpu, bytes, label, freed))
      problems.set(buffer, error.then(refusal(label, bytes)))
      buffers.add(buffer)
      counters.allocatedBytes += bytes
      return buffer
    },

    upload(to, offset, data) {
      alive()
      const buffer = own(to)
      inside(buffer, offset, data.length, "upload")
      if (data.length < watchedUpload) return buffer.write(offset, data)
      const { error } = watch(gpu, () => buffer.write(offset, data))
      const later = error.then(refusal(buffer.label, data.length))
      problems.set(
        buffer,
        Promise.all([problems.get(buffer), later]).then(([before, now]) => before ?? now),
      )
    },

    stage(regions) {
      alive()
      for (const { to, offset, bytes } of regions) inside(own(to), offset, bytes, "upload")
      return orLost(belt.stage(regions))
    },

    clear(cleared, bytes) {
      alive()
      const buffer = own(cleared)
      inside(buffer, 0, bytes, "clear")
      buffer.clear(bytes)
    },

    async compile({ kernels }, symbols) {
      alive()
      if (symbols * 4 > symbolBytes)
        throw new WeftError("device/too-many-symbols", `${symbols} size symbols; a device holds ${symbolBytes / 4}`)
      const made = await orLost(pipelines.compile(kernels))
      for (const kernel of made) compiled.add(kernel)
      return made
    },

    record(commands) {
      alive()
      const { made: dispatches, error } = watch(gpu, () => commands.map(dispatch))
      const recording: WebgpuRecording = { commands: commands.length, dispatches }
      problems.set(
        recording,
        error.then(
          (e) => e && new WeftError("device/record-bindings", `the device cannot bind what is recorded: ${e.message}`),
        ),
      )
      recorded.add(recording)
      return recording
    },

    submit(recordings, symbols) {
      alive()
      for (const r of recordings)
        if (!recorded.has(r)) throw new WeftError("device/submit-recording", "a recording is not of this device")
      if (symbols.byteLength > symbolBytes)
        throw new WeftError(
          "device/too-many-symbols",
          `${symbols.length} size symbols; a device holds ${symbolBytes / 4}`,
        )
      if (symbols.length > 0)
        gpu.queue.writeBuffer(symbolBuffer, 0, symbols.buffer as ArrayBuffer, symbols.byteOffset, symbols.byteLength)
      const encoder = gpu.createCommandEncoder()
      const pass = encoder.beginComputePass()
      let current: GPUComputePipeline | undefined
      for (const r of recordings) {
        for (const { pipeline, group, x, y } of (r as WebgpuRecording).dispatches) {
          if (pipeline !== current) pass.setPipeline(pipeline)
          current = pipeline
          pass.setBindGroup(0, group)
          pass.dispatchWorkgroups(x, y)
        }
        counters.commands += r.commands
      }
      pass.end()
      gpu.queue.submit([encoder.finish()])
      counters.submits++
    },

    async read(from, offset, bytes) {
      alive()
      const buffer = own(from)
      inside(buffer, offset, bytes, "read")
      const data = await orLost(staging.read(buffer.gpu, offset, bytes)).catch(async (cause: unknown) => {
        // The loss is announced in the same turn as the failed mapping.
        await new Promise((resolve) => setTimeout(resolve))
        alive()
        if (cause instanceof WeftError) throw cause
        throw (
          takePending() ?? new WeftError("webgpu/read", `reading '${buffer.label}' failed: ${String(cause)}`, { cause })
        )
      })
      const error = takePending()
      if (error !== undefined) throw error
      return data
    },

    async settle(made) {
      alive()
      const found = await orLost(Promise.all(made.map((m) => problems.get(m))))
      const first = found.find((problem) => problem !== undefined)
      if (first !== undefined) throw first
    },

    dispose() {
      if (disposed) return
      disposed = true
      for (const buffer of [...buffers]) buffer.destroy()
      staging.destroy()
      belt.destroy()
      symbolBuffer.destroy()
      pipelines.clear()
      // Dawn for Node never frees a device with a listener that leads back to it.
      gpu.removeEventListener("uncapturederror", onError)
      gpu.destroy()
      endWaiting("this device has been disposed of")
    },
  }
  const belt = createBelt(gpu, { own, alive, upload: device.upload })
  const symbolProblem = await symbolError.then(refusal("symbols", symbolBytes))
  if (symbolProblem !== undefined) {
    device.dispose()
    throw symbolProblem
  }
  return device
}

/** Asks for everything that kernels can use: the defaults are far below what adapters have. */
async function openDevice(adapter: GPUAdapter, more: readonly GPUFeatureName[]): Promise<GPUDevice> {
  const wanted = [
    "maxBufferSize",
    "maxStorageBufferBindingSize",
    "maxStorageBuffersPerShaderStage",
    "maxComputeWorkgroupStorageSize",
    "maxComputeInvocationsPerWorkgroup",
    "maxComputeWorkgroupSizeX",
  ] as const
  const features = (["subgroups", "shader-f16"] as const).filter((f) => adapter.features.has(f))
  return adapter.requestDevice({
    requiredFeatures: [...features, ...more],
    requiredLimits: Object.fromEntries(wanted.map((name) => [name, adapter.limits[name]])),
  })
}

function adapterInfo(adapter: GPUAdapter, gpu: GPUDevice, matrices: MatrixSupport): WebgpuAdapterInfo {
  const { info } = adapter
  const subgroups = gpu.features.has("subgroups")
  const least = subgroups ? (info.subgroupMinSize ?? 4) : 0
  return {
    description: describe(info),
    vendor: info.vendor,
    architecture: info.architecture,
    subgroupMinSize: least,
    subgroupMaxSize: subgroups ? (info.subgroupMaxSize ?? 128) : 0,
    matrices,
    limits: {
      f16: gpu.features.has("shader-f16"),
      invocations: Math.min(gpu.limits.maxComputeInvocationsPerWorkgroup, gpu.limits.maxComputeWorkgroupSizeX),
      workgroupBytes: gpu.limits.maxComputeWorkgroupStorageSize,
      storageBuffers: gpu.limits.maxStorageBuffersPerShaderStage,
      subgroups,
      subgroupSize: least,
    },
  }
}

/** An error that WebGPU reports after the call that caused it. */
function deferredError(error: GPUError): WeftError {
  const memory = error.constructor.name === "GPUOutOfMemoryError"
  const code = memory ? "device/out-of-memory" : "webgpu/validation"
  return new WeftError(code, `the device refused an earlier call: ${error.message}`)
}
