/**
 * The compiler's surface: a model file and a config in, or a program file, and an artifact out.
 *
 *     const artifact = await compile("model.ts", config, "webgpu")
 *     const artifact = await compile("examples/mandelbrot.ts", {}, "wasm")
 *
 * Compiling a model file runs it, as importing any module does.
 */
import type { Artifact, ArtifactTarget } from "../runtime/artifact.js"
import { type CompileModelOptions, compileFile } from "./compile-file.js"

export type { Artifact, ArtifactTarget, Precision } from "../runtime/artifact.js"
export { type ErrorCode, type Span, WeftError } from "../runtime/errors.js"
export type { WeightType } from "../runtime/weights/dtypes.js"
export type { NameRules } from "../runtime/weights/names.js"
export type { Parameter } from "../runtime/weights/parameters.js"
export type { CompileModelOptions } from "./compile-file.js"
export type { AdapterFacts } from "./ir/machine.js"
export type { TunedRecord } from "./schedule/tuned/record.js"

/**
 * Compiles the model of `modelFile` with the content of a config.json, or its program (with `{}`), for one target.
 *
 * @throws WeftError what is wrong with the file (`model/missing`, `tsconfig/…`, `model/type-error`, `scalar/function`, `model/bundle-failed`), `model/failed` when the model throws while it is imported, configured or traced, `compile/model` when the file exports neither,
 *   `compile/config` naming the fields that the model does not take, `compile/storage` when tensors of one stack are stored differently, and
 *   what the passes refuse, with the model's line
 */
export async function compile(
  modelFile: string,
  config: Readonly<Record<string, unknown>>,
  target: ArtifactTarget,
  options: CompileModelOptions = {},
): Promise<Artifact> {
  const { compilation } = await compileFile(modelFile, config, target, options)
  return compilation.artifact
}
