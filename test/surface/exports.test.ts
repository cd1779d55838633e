/**
 * What each entry of the package exports, by name: a name more or less is a change of the surface, to be made here, too. Entries name what they
 * export one by one, so that nothing comes along with a file.
 */
import { readFileSync } from "node:fs"
import { ts } from "ts-morph"
import { expect, test } from "vitest"

const words = ([text]: TemplateStringsArray): readonly string[] => text!.trim().split(/\s+/)

const surface: Readonly<Record<string, { readonly values: readonly string[]; readonly types: readonly string[] }>> = {
  weft: {
    values: words`
      add append argmax assign at biased bits call cast causal constant defineModel defineProgram dot extent
      fromBits greedyToken grows indexing input iota keeps literal map mapTo max merge min minus mul normalize outer
      outerTo pad pick plus reduce rename repeat reverse rmsNorm roll rope
      sampleToken samplingFields scale scan silu size slice softmax split stack
      state sum times toF32 toI32 toU32 top upTo weight where windows`,
    types: words`
      ArrayOf Bounded ConfigSchema DefinedProgram Entry Extent Facts Growing Index InputSpec Model
      ModelDefinition NumberType ParsingSchema Program Rotary StandardIssue StandardResult
      StandardSchema StateSpec Tensor Tree ValueType WeightSpec`,
  },
  "weft/compiler": {
    values: words`
      WeftError compile`,
    types: words`
      AdapterFacts Artifact ArtifactTarget CompileModelOptions ErrorCode NameRules Parameter Precision Span
      TunedRecord WeightType`,
  },
  "weft/models/rotary": {
    values: words`rotaryConflict rotaryContext rotaryFields rotaryFrequencies`,
    types: words`RotaryConfig`,
  },
  "weft/node": {
    values: words`
      WeftError createCudaDevice load loadProgram`,
    types: words`
      ChatGeneration ChatMessage ChatOptions ChatPart ChatResult CudaDevice CudaDeviceOptions DeviceName ErrorCode
      GenerateOptions GeneratePart GenerateResult GenerateTimings Generation
      GenerativeModel LoadProgramOptions LoadProgress LoadedModel Logits NodeLoadOptions NumberArray Output
      Precision Prompt RunningProgram Span`,
  },
  "weft/runtime": {
    values: words`
      WeftError artifactVersion assembleCheckpoint checkArtifact collectTensors createChatTemplate createDetokenizer
      createGenerator createSession createTokenizer createWasmDevice createWebgpuDevice defaultsOf endTokensOf
      load loadProgram matchParameters memoryOf memorySource openCheckpoint optionsOf parseIndex precisionNames quantizedCheckpoint readHeader
      targetNames templateOf writeSafetensors`,
    types: words`
      Artifact ArtifactArray ArtifactBuffer ArtifactConstant ArtifactEntry ArtifactExtent ArtifactKernel
      ArtifactLaunch ArtifactModel ArtifactModule ArtifactNeed ArtifactProgram ArtifactSlot ArtifactSymbol ArtifactTarget
      ArtifactTerm ArtifactWeight ByteSource ChatGeneration ChatMessage ChatOptions ChatPart ChatResult ChatTemplate
      Checkpoint CheckpointOptions Detokenizer Device DeviceBuffer DeviceLimits ErrorCode
      GenerateDefaults GenerateOptions GeneratePart GenerateResult GenerateTimings Generation GenerativeModel
      GeneratorOptions LoadOptions LoadProgramOptions Logits MatchOptions MemoryEstimate NameRules NumberArray
      OpenOptions Output Parameter PickedFile Precision Prompt RunningProgram Session SessionOptions Span StorageName StoredTensor
      TemplateTexts TensorData Tokenizer WasmDeviceOptions WebgpuDevice WeightSource WeightTensor`,
  },
}

/** Without types: only what the front end inserts imports it. */
const internal = { "weft/internal/attach": { source: "dsl/internal.ts", values: ["__at", "__scalar"] } }

/** The names that a file exports; `export *` has none. */
function exported(file: string) {
  const source = ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.Latest, true)
  const values: string[] = []
  const types: string[] = []
  for (const node of source.statements) {
    if (ts.isExportDeclaration(node)) {
      if (node.exportClause === undefined || !ts.isNamedExports(node.exportClause)) values.push(node.getText())
      else
        for (const { name, isTypeOnly } of node.exportClause.elements)
          (node.isTypeOnly || isTypeOnly ? types : values).push(name.text)
    } else if (ts.canHaveModifiers(node) && node.modifiers?.some((m) => m.kind === ts.SyntaxKind.ExportKeyword)) {
      const isType = ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node)
      const declared = ts.isVariableStatement(node)
        ? node.declarationList.declarations
        : [node as ts.DeclarationStatement]
      ;(isType ? types : values).push(...declared.map(({ name }) => name?.getText() ?? node.getText()))
    }
  }
  return { values: values.sort(), types: types.sort() }
}

const { exports: entries } = JSON.parse(readFileSync("package.json", "utf8")) as {
  exports: Record<string, string | { readonly types: string; readonly default: string }>
}

test("each entry of the package exports these names, and no other", () => {
  const found = Object.entries(entries).flatMap(([entry, to]) => {
    if (typeof to === "string") return []
    const source = to.types.replace("./dist/types/", "").replace(/\.d\.ts$/, ".ts")
    return [[entry.replace(".", "weft"), exported(source)] as const]
  })
  expect(Object.fromEntries(found)).toEqual(surface)
})

test("what is internal has an entry without types, so that no editor offers it", () => {
  const untyped = Object.entries(entries).filter(([entry, to]) => typeof to === "string" && entry !== "./package.json")
  expect(untyped.map(([entry]) => entry.replace(".", "weft"))).toEqual(Object.keys(internal))
  for (const { source, values } of Object.values(internal)) expect(exported(source)).toEqual({ values, types: [] })
})
