/** The runtime: executes artifacts, in Node and in a page. Nothing here imports Node's modules or the compiler. */
export {
  type Artifact,
  type ArtifactArray,
  type ArtifactBuffer,
  type ArtifactConstant,
  type ArtifactEntry,
  type ArtifactExtent,
  type ArtifactKernel,
  type ArtifactLaunch,
  type ArtifactModel,
  type ArtifactModule,
  type ArtifactNeed,
  type ArtifactProgram,
  type ArtifactSlot,
  type ArtifactSymbol,
  type ArtifactTarget,
  type ArtifactTerm,
  type ArtifactWeight,
  artifactVersion,
  type Precision,
  precisionNames,
  type StorageName,
  targetNames,
} from "./artifact.js"
export { checkArtifact } from "./artifact-check.js"
export type { ChatGeneration, ChatOptions, ChatPart, ChatResult } from "./chat/chat.js"
export type { ChatMessage } from "./chat/messages.js"
export { type ChatTemplate, createChatTemplate, type TemplateTexts, templateOf } from "./chat/template.js"
export type { Device, DeviceBuffer, DeviceLimits } from "./devices/device.js"
export { createWasmDevice, type WasmDeviceOptions } from "./devices/wasm/device.js"
export { createWebgpuDevice, type WebgpuDevice } from "./devices/webgpu/device.js"
export { type ErrorCode, type Span, WeftError } from "./errors.js"
export { type CheckpointOptions, optionsOf } from "./generate/checkpoint-options.js"
export { defaultsOf, endTokensOf } from "./generate/defaults.js"
export type { GeneratePart, GenerateResult, GenerateTimings, Generation } from "./generate/generation.js"
export { createGenerator, type GenerativeModel, type GeneratorOptions, type Logits } from "./generate/generator.js"
export { type LoadOptions, load } from "./generate/load.js"
export type { GenerateDefaults, GenerateOptions } from "./generate/options.js"
export type { Prompt } from "./generate/prompt.js"
export { type MemoryEstimate, memoryOf } from "./memory.js"
export { type LoadProgramOptions, loadProgram, type NumberArray, type Output, type RunningProgram } from "./program.js"
export { createSession, type Session, type SessionOptions } from "./session.js"
export { createDetokenizer, type Detokenizer } from "./text/detokenizer.js"
export { createTokenizer, type Tokenizer } from "./text/tokenizer.js"
export { assembleCheckpoint, type Checkpoint, type StoredTensor } from "./weights/checkpoint.js"
export type { NameRules } from "./weights/names.js"
export { type OpenOptions, openCheckpoint, type PickedFile } from "./weights/open.js"
export { type MatchOptions, matchParameters, type Parameter, type WeightTensor } from "./weights/parameters.js"
export { quantizedCheckpoint } from "./weights/quantized/quantized.js"
export { readHeader } from "./weights/safetensors.js"
export { type TensorData, writeSafetensors } from "./weights/safetensors-writer.js"
export { collectTensors, parseIndex } from "./weights/shards.js"
export { type ByteSource, memorySource } from "./weights/source.js"
export type { WeightSource } from "./weights/upload.js"
