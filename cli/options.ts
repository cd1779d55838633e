/** What `load` and `loadProgram` are given: a folder, a file or an artifact, and options, each read once and of its type. */
import { fileURLToPath } from "node:url"
import { type Precision, precisionNames } from "../runtime/artifact.js"
import { WeftError } from "../runtime/errors.js"
import { countOf, functionOf, hostText, oneOfNames, optionsOf, pathOption, switchOf } from "../runtime/host.js"
import { type Accesses, accessesNames, type DeviceName } from "./device.js"

export type LoadProgress =
  | { readonly stage: "download"; readonly file: string; readonly done: number; readonly total: number }
  | { readonly stage: "device"; readonly description: string; readonly reason: string }
  | { readonly stage: "compile"; readonly model: string }
  | { readonly stage: "warning"; readonly message: string }
  | { readonly stage: "weights"; readonly done: number; readonly total: number }

const needsNames = ["text", "chat"] as const
export type Needs = (typeof needsNames)[number]

export interface NodeLoadOptions {
  /** `auto` (the default): CUDA where a driver and a compiler of kernels are, else WebGPU on a hardware adapter, else WebAssembly. */
  readonly device?: DeviceName | undefined
  /** Threads of the WebAssembly device; as many as there are processors when left out. */
  readonly threads?: number | undefined
  /**
   * `exact`: values between kernels are kept as they are computed. `fast`: the cache and long rows in bf16, and where the adapter
   * has f16 sums of a few products for them in it. Measured on small random Qwen3 checkpoints, logits are off by 5.5e-3 … 7.0e-3 (rms of the
   * error over rms of the logits); random models of other families had 1.5e-3 … 5.8e-2, and large norms make it larger. When left out, fast on
   * GPUs and exact on WebAssembly and software adapters.
   */
  readonly precision?: Precision | undefined
  /** Tokens that one step of the prompt takes at most; what suits the device when left out: 512 on GPUs, 2,048 by matrix units, 128 elsewhere. */
  readonly chunk?: number | undefined
  /** Tokens of prompt and answer together at most: memory is reserved for so many. The checkpoint's own number when left out. */
  readonly context?: number | undefined
  /**
   * `proven`: Dawn leaves out its own checks of what kernels touch, for the compiler has proven that it lies in their buffers. `checked`: it checks.
   * When left out, proven where the model is compiled on this machine, checked where an artifact is given. A page always checks. CUDA never does:
   * what is to be checked is refused there, so that an artifact is run only where `proven` says that it is trusted, as a program is.
   */
  readonly accesses?: Accesses | undefined
  /**
   * Asks WebGPU for subgroup matrices, which are experimental, and multiplies by them with precision `fast` where they are right in a test on the device;
   * in Node Dawn lets in its unsafe interfaces for it, and f16 on GPUs of NVIDIA. Matrices of weights in bf16 are read as f16 then, where that holds
   * each row of them. Off when left out. Nothing to other devices.
   */
  readonly experimentalGpu?: boolean | undefined
  /** Most bytes of device memory to take; a model that needs more is refused before anything is allocated. */
  readonly memory?: number | undefined
  /** A file of schedules that `weft tune` measured, or false for none; the package's own for this device when left out. */
  readonly tuned?: string | false | undefined
  /** A model file that takes the place of the one that the checkpoint's `model_type` names. Compiling it runs it. */
  readonly model?: string | undefined
  /** The folder for compiled artifacts, or false for none; `~/.cache/weft` when left out. */
  readonly cache?: string | false | undefined
  /**
   * What the model is for: a checkpoint that cannot read text, or is not made for conversations, is refused then before its weights are read. When
   * left out, one whose tokenizer is missing or of another kind is loaded, and takes token ids.
   */
  readonly needs?: Needs | undefined
  /** The folder or the file of the weights, when an artifact is given. */
  readonly checkpoint?: string | undefined
  readonly onProgress?: ((progress: LoadProgress) => void) | undefined
}

export interface LoadProgramOptions {
  /** `auto` (the default): CUDA where a driver and a compiler of kernels are, else WebGPU on a hardware adapter, else WebAssembly. */
  readonly device?: DeviceName | undefined
  /** Threads of the WebAssembly device; as many as there are processors when left out. */
  readonly threads?: number | undefined
  /** As for `load`: proven where the program is compiled on this machine, checked where an artifact is given. */
  readonly accesses?: Accesses | undefined
  /** As for `load`. */
  readonly experimentalGpu?: boolean | undefined
  /** A file of schedules that `weft tune` measured, or false for none; the package's own for this device when left out. */
  readonly tuned?: string | false | undefined
  /** The folder for compiled artifacts, or false for none; `~/.cache/weft` when left out. */
  readonly cache?: string | false | undefined
}

/** True for a path or a URL, of any realm; what is anything else is checked as an artifact. */
export const isFile = (source: unknown): source is string | URL =>
  typeof source === "string" || Object.prototype.toString.call(source) === "[object URL]"

/**
 * The path of a checkpoint; `undefined` for an object, which may be an artifact.
 *
 * @throws WeftError `load/source`
 */
export function sourcePath(source: unknown): string | undefined {
  if (isFile(source)) return typeof source === "string" ? source : fileURLToPath(String(source))
  if (typeof source === "object" && source !== null) return undefined
  throw new WeftError("load/source", `load is given ${hostText(source)}`, {
    hint: "give the folder of a checkpoint, a .gguf file, or an artifact and the option 'checkpoint'",
  })
}

const loadNames = {
  device: true,
  threads: true,
  precision: true,
  chunk: true,
  context: true,
  accesses: true,
  experimentalGpu: true,
  memory: true,
  tuned: true,
  model: true,
  cache: true,
  needs: true,
  checkpoint: true,
  onProgress: true,
} as const

const programNames = {
  device: true,
  threads: true,
  accesses: true,
  experimentalGpu: true,
  tuned: true,
  cache: true,
} as const

/** @throws WeftError `load/option`, `load/precision`, `load/accesses`, `load/chunk`, `load/context`, `load/memory` */
export function loadOptions(given: NodeLoadOptions): NodeLoadOptions {
  const options = { ...optionsOf(given, "load/option", loadNames) }
  for (const name of ["model", "checkpoint"] as const) pathOption(options[name], "load/option", name, false)
  for (const name of ["cache", "tuned"] as const) pathOption(options[name], "load/option", name, true)
  functionOf(options.onProgress, "load/option", "onProgress")
  switchOf(options.experimentalGpu, "load/option", "experimentalGpu")
  oneOfNames(options.needs, needsNames, "load/option", "needs")
  oneOfNames(options.precision, precisionNames, "load/precision", "precision")
  oneOfNames(options.accesses, accessesNames, "load/accesses", "accesses")
  countOf(options.chunk, 4096, "load/chunk", "chunk")
  countOf(options.context, 2 ** 31 - 1, "load/context", "context")
  countOf(options.memory, Number.MAX_SAFE_INTEGER, "load/memory", "memory")
  return options
}

/** @throws WeftError `program/options`, `program/accesses`, `program/cache`, `program/tuned` */
export function programOptions(given: LoadProgramOptions): LoadProgramOptions {
  const options = { ...optionsOf(given, "program/options", programNames) }
  for (const name of ["cache", "tuned"] as const) pathOption(options[name], `program/${name}`, name, true)
  oneOfNames(options.accesses, accessesNames, "program/accesses", "accesses")
  switchOf(options.experimentalGpu, "program/options", "experimentalGpu")
  return options
}
