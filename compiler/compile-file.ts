/**
 * From a model's file to its compilation: load, configure, compile.
 *
 *   model.ts, config.json, webgpu   →   the artifact, the programs and kernels it was made of, and the sources that their spans name
 */

import { basename, relative, resolve } from "node:path"
import type { Model, Program } from "../dsl/model.js"
import type { WeightSpec } from "../dsl/tracing.js"
import { type ArtifactTarget, type Precision, precisionNames, targetNames } from "../runtime/artifact.js"
import { printable, thrownText, WeftError } from "../runtime/errors.js"
import { functionOf, hostText, oneOfNames, optionsOf } from "../runtime/host.js"
import { isPlainType, type WeightType } from "../runtime/weights/dtypes.js"
import type { Format } from "../runtime/weights/formats/format.js"
import { formatNamed } from "../runtime/weights/formats/named.js"
import type { NameRules } from "../runtime/weights/names.js"
import type { Parameter } from "../runtime/weights/parameters.js"
import { type Compilation, compileProgram } from "./compile.js"
import { fromWorkingDirectory } from "./frontend/diagnostics.js"
import { configOf, filePath, typed } from "./frontend/host.js"
import { type LoadedModel, loadModel } from "./frontend/load.js"
import type { Observed } from "./frontend/observed.js"
import { placed } from "./frontend/stack.js"
import type { Storage } from "./ir/loop.js"
import type { AdapterFacts } from "./ir/machine.js"
import { checkTuned, type TunedRecord } from "./schedule/tuned/record.js"
import { treeLeaves } from "./trace/tree.js"

export interface CompiledFile {
  readonly compilation: Compilation
  readonly family: string
  /** The sources by the names that spans carry; the model's own is `main`. */
  readonly files: readonly { readonly path: string; readonly text: string }[]
  readonly main: string
  /** What it was made of, and what it depends on besides: an artifact may be kept for as long as the first holds, if there is no second. */
  readonly observed: Observed
  readonly outside: string | undefined
}

export interface CompileModelOptions {
  /**
   * How the expected tensors are stored, by name, with what the model says of names. Called once, before the slow part: a place to check a checkpoint. Without it all weights
   * are taken to be BF16.
   */
  readonly tensors?: (
    expected: readonly Parameter[],
    names: NameRules,
  ) => ReadonlyMap<string, { readonly dtype: WeightType }>
  /** Tokens that one step takes at most; what suits the target when left out. */
  readonly chunk?: number | undefined
  /** Tokens of prompt and answer together at most: memory is reserved for so many. The model's own number when left out. */
  readonly context?: number | undefined
  /** The adapter that will run the artifact: lanes of its smallest subgroup, 0 for none. Without it the artifact runs on every adapter. */
  readonly adapter?: AdapterFacts | undefined
  /** How values are kept between kernels: `exact` (the default) as they are computed, `fast` rounded to bf16 where that costs little. */
  readonly precision?: Precision | undefined
  /** Schedules that `weft tune` measured on the device; heuristics decide for kernels that it does not hold. */
  readonly tuned?: TunedRecord | undefined
  /** Called with what is no error, but should be known: tuned schedules that this compiler refuses. */
  readonly onWarning?: ((message: string) => void) | undefined
  /** Verify the programs between the passes. */
  readonly verify?: boolean | undefined
}

/** Compiles as `compile` does, and keeps what the artifact was made of. */
export async function compileFile(
  modelFile: string,
  config: Readonly<Record<string, unknown>>,
  target: ArtifactTarget,
  options: CompileModelOptions = {},
): Promise<CompiledFile> {
  const file = filePath(modelFile, "compile/file", "the model's file")
  const given = configOf(config)
  const checked = checkedOptions(target, options)
  return typed("compile/unforeseen", async () => compileLoaded(await loadModel(file), file, given, target, checked))
}

const optionNames = {
  tensors: true,
  chunk: true,
  context: true,
  adapter: true,
  precision: true,
  tuned: true,
  onWarning: true,
  verify: true,
} as const

function checkedOptions(target: ArtifactTarget, options: CompileModelOptions | undefined): CompileModelOptions {
  const given = optionsOf(options, "compile/options", optionNames)
  if (target === undefined)
    throw new WeftError("compile/target", "there is no target", { hint: `name ${targetNames.join(" or ")}` })
  oneOfNames(target, targetNames, "compile/target", "target")
  oneOfNames(given.precision, precisionNames, "compile/precision", "precision")
  for (const name of ["tensors", "onWarning"] as const) functionOf(given[name], "compile/options", `'${name}'`)
  for (const name of ["chunk", "context"] as const)
    if (given[name] !== undefined && typeof given[name] !== "number")
      throw new WeftError(`compile/${name}`, `${name} is ${hostText(given[name])}; a whole number is expected`)
  for (const name of ["adapter", "tuned"] as const)
    if (given[name] !== undefined && (typeof given[name] !== "object" || given[name] === null))
      throw new WeftError(`compile/${name}`, `${name} is ${hostText(given[name])}; an object is expected`)
  return given.tuned === undefined ? given : { ...given, tuned: checkTuned(given.tuned, "the option 'tuned'") }
}

/** What a model asks of a checkpoint. */
export interface ModelDescription {
  /** The config as the model's schema reads it, with what it leaves out. */
  readonly config: unknown
  readonly parameters: readonly Parameter[]
  readonly names: NameRules
}

/**
 * Reads a model's file and a config; compiles nothing.
 *
 * @throws what `compile` throws of them
 */
export async function describeFile(
  modelFile: string,
  config: Readonly<Record<string, unknown>>,
): Promise<ModelDescription> {
  const { module, placeOf } = await loadModel(modelFile)
  const program = configure(module.model, config, modelFile, placeOf)
  return described((module.model as Model).read(config), program)
}

/** @param config as the model's schema reads it */
export const described = (config: unknown, program: Program): ModelDescription => ({
  config,
  parameters: parametersOf(program),
  names: program.facts ?? {},
})

/**
 * Compiles as `compile` does, of a model without a config as far as that can be done: its file is read and imported, but not traced.
 *
 * @param config undefined: none was given
 * @returns whether all was compiled
 * @throws what `compile` throws
 */
export async function checkFile(
  modelFile: string,
  config: Readonly<Record<string, unknown>> | undefined,
  target: ArtifactTarget,
  options: CompileModelOptions = {},
): Promise<boolean> {
  return typed("compile/unforeseen", async () => {
    const loaded = await loadModel(modelFile)
    if (config === undefined && !isProgram(loaded.module.program) && isModel(loaded.module.model)) return false
    compileLoaded(loaded, modelFile, config ?? {}, target, options)
    return true
  })
}

function compileLoaded(
  loaded: LoadedModel,
  modelFile: string,
  config: Readonly<Record<string, unknown>>,
  target: ArtifactTarget,
  options: CompileModelOptions,
): CompiledFile {
  const family = typeof config.model_type === "string" ? config.model_type : basename(modelFile).replace(/\.\w+$/, "")
  const { placeOf, files, folder, observed, outside } = loaded
  try {
    const compilation = compileModule(loaded, modelFile, config, family, target, options)
    warnOfRefused(compilation, options)
    const main = relative(folder, resolve(modelFile)).replaceAll("\\", "/")
    return { compilation, family, files, main, observed, outside }
  } catch (cause) {
    if (cause instanceof WeftError) throw placed(cause, placeOf)
    const span = placeOf(cause)
    // What is no Error was thrown by the model: nothing of ours does.
    if (span === undefined && cause instanceof Error) throw cause
    throw new WeftError("model/failed", `the model failed: ${thrownText(cause)}`, { span, cause })
  }
}

/** Tuned schedules that are not possible are no error: the compiler has changed since they were measured. */
function warnOfRefused({ kernels }: Compilation, { tuned, onWarning }: CompileModelOptions): void {
  const refused = kernels.flatMap(({ kernel, origin }) =>
    typeof origin === "string" ? [] : [`${kernel.name}: ${origin.why} (${origin.code})`],
  )
  if (refused.length > 0)
    onWarning?.(
      `${refused.length} tuned schedules for ${tuned!.device} are refused, heuristics decide; run weft tune again\n  ${refused.join("\n  ")}`,
    )
}

function compileModule(
  { module: { model, program: defined }, placeOf }: LoadedModel,
  modelFile: string,
  config: Readonly<Record<string, unknown>>,
  family: string,
  target: ArtifactTarget,
  options: CompileModelOptions,
): Compilation {
  if (isProgram(defined) && Object.keys(config).length > 0)
    throw new WeftError("compile/config", `${fromWorkingDirectory(modelFile)} is a program, which has no config`, {
      hint: "give none; to compile, {}",
    })
  const program = isProgram(defined) ? defined : configure(model, config, modelFile, placeOf)
  const stored = options.tensors?.(parametersOf(program), program.facts ?? {})
  return compileProgram(program, family, {
    target,
    storage: (spec) => storageOf(spec, stored),
    verify: options.verify ?? false,
    ...(options.chunk === undefined ? {} : { chunk: options.chunk }),
    ...(options.precision === undefined ? {} : { precision: options.precision }),
    ...(options.context === undefined ? {} : { context: options.context }),
    ...(options.adapter === undefined ? {} : { adapter: options.adapter }),
    ...(options.tuned === undefined ? {} : { tuned: options.tuned }),
  })
}

function configure(
  model: unknown,
  config: Readonly<Record<string, unknown>>,
  modelFile: string,
  placeOf: LoadedModel["placeOf"],
): Program {
  if (!isModel(model))
    throw new WeftError("compile/model", `${fromWorkingDirectory(modelFile)} exports no 'model' and no 'program'`, {
      hint: "export const model = defineModel({ … }), or export const program = defineProgram({ … })",
    })
  try {
    return model.configure(config)
  } catch (cause) {
    const issues = issuesOf(cause)
    if (issues === undefined)
      throw cause instanceof WeftError || placeOf(cause) !== undefined ? cause : refusedConfig(cause)
    const file = fromWorkingDirectory(modelFile)
    throw new WeftError("compile/config", `the config asks for what ${file} does not compute\n${issues}`, {
      hint: "the fields are checked before anything is computed, so that none is ignored",
      cause,
    })
  }
}

/** A schema that throws what has no issues, from a place that is not in the model. */
function refusedConfig(cause: unknown): WeftError {
  return new WeftError("model/failed", `the model cannot be configured: ${thrownText(cause)}`, { cause })
}

const isModel = (value: unknown): value is Model =>
  typeof value === "object" && value !== null && typeof (value as Partial<Model>).configure === "function"

const isProgram = (value: unknown): value is Program =>
  typeof value === "object" && value !== null && isList((value as Partial<Program>).entries)

const isList = (entries: unknown): boolean =>
  Array.isArray(entries) && entries.every((entry) => typeof entry === "object" && entry !== null && "name" in entry)

/** The issues of a schema's error, a line each. */
function issuesOf(error: unknown): string | undefined {
  const issues = error instanceof Error ? (error as { issues?: unknown }).issues : undefined
  if (!Array.isArray(issues)) return undefined
  // A schema's author may have made them by hand.
  const line = (issue: { readonly path?: unknown; readonly message?: unknown } | null | undefined) => {
    const path = Array.isArray(issue?.path) ? issue.path.map(thrownText).join(".") : ""
    return `  ${path === "" ? "" : `${path}: `}${printable(thrownText(issue?.message)).slice(1, -1).replaceAll('\\"', '"')}`
  }
  return issues.map(line).join("\n")
}

/** Every tensor that the program asks of a checkpoint, with its shape there. */
function parametersOf(program: Program): readonly Parameter[] {
  const specs = treeLeaves(program.weights, isWeight).map((leaf) => leaf.value as WeightSpec)
  return [...new Set(specs)].flatMap(({ tensors, dimensions }) => {
    const shape = dimensions.map((axes) => axes.reduce((n, a) => n * a.extent, 1))
    return tensors.map((name) => ({ name, shape }))
  })
}

const isWeight = (x: unknown): boolean =>
  typeof x === "object" && x !== null && (x as { kind?: unknown }).kind === "weight"

/** Doubles are rounded when they are loaded. */
const storageNames = { F64: "f32", F32: "f32", F16: "f16", BF16: "bf16" } as const

function storedAs(dtype: WeightType): Storage | Format {
  if (isPlainType(dtype)) return storageNames[dtype]
  const format = formatNamed(dtype)
  if (format === undefined)
    throw new WeftError("compile/storage", `${printable(dtype)} is no format of weights`, {
      hint: "the formats stand in runtime/weights/formats",
    })
  return format
}

function storageOf(spec: WeightSpec, stored: ReturnType<NonNullable<CompileModelOptions["tensors"]>> | undefined) {
  if (stored === undefined) return "bf16"
  const [first, ...others] = spec.tensors.map((name) => ({ name, dtype: stored.get(name)?.dtype ?? ("BF16" as const) }))
  const other = others.find(({ dtype }) => storedAs(dtype) !== storedAs(first!.dtype))
  if (other !== undefined)
    throw new WeftError(
      "compile/storage",
      `${printable(first!.name)} is ${first!.dtype}, but ${printable(other.name)}, which is stacked with it, is ${other.dtype}`,
      { hint: "store all tensors of a stack in one format" },
    )
  return storedAs(first!.dtype)
}
