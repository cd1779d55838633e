/**
 * The commands as data: what each is called, takes and does. Dispatch, help and the check of flags follow from this table, so that what the
 * help of a command lists is what the command takes.
 *
 *     weft explain --help     →   the words and flags of `explain`, each with a line
 */
import { devices } from "../compiler/explain/devices.js"
import { type ArtifactTarget, defaultPrecision, precisionNames, targetNames } from "../runtime/artifact.js"
import type { Flag } from "./arguments.js"
import { accessesNames, deviceNames } from "./device.js"
import { targets } from "./quantize/targets.js"

/** What is compiled for where no target is named. */
export const defaultTarget: ArtifactTarget = "webgpu"

/** A flag in the help of a command: its value, and what it is for. A line break goes on below. */
type FlagHelp = readonly [value: string, about: string]

export interface CommandTable {
  /** The words after the command. */
  readonly words: string
  readonly about: string
  readonly flags: Readonly<Partial<Record<Flag, FlagHelp>>>
}

const experimental: FlagHelp = [
  "",
  "WebGPU with subgroup matrices, which are experimental, where they are right in a test\non the device (default: without; Dawn's unsafe interfaces are let in for it)",
]

const deviceFlags = {
  device: [
    deviceNames.join("|"),
    "auto: CUDA where driver and compiler are, else WebGPU on a hardware adapter,\nelse WebAssembly (default)",
  ],
  threads: ["N", "threads of the WebAssembly device (default: one for each processor)"],
  "experimental-gpu": experimental,
} as const satisfies CommandTable["flags"]

const precision: FlagHelp = [
  precisionNames.join("|"),
  "fast: cache and long rows in bf16, products in f16 where there is such\n(default: fast on GPUs, exact elsewhere)",
]
const context: FlagHelp = ["N", "tokens of prompt and answer at most (default: the checkpoint's whole context)"]

const accesses: FlagHelp = [
  accessesNames.join("|"),
  "whether WebGPU checks what kernels touch, or the compiler's proof is enough\n(default: proven; CUDA has no checks)",
]

const loadFlags = {
  model: [
    "DIR|FILE.gguf|NAME",
    "a checkpoint: its folder, a GGUF file, or its name on the Hugging Face\nHub: ORG/NAME, or ORG/NAME:Q4_K_M (default: the one that is shipped)",
  ],
  "model-file": ["FILE.ts", "a model definition in the place of the known one; compiling it runs it"],
  ...deviceFlags,
  precision,
  accesses,
  context,
  tuned: ["FILE", "schedules that weft tune wrote (default: the package's for the device, if any)"],
  "no-cache": ["", "compile again, keep nothing"],
} as const satisfies CommandTable["flags"]

const subjectFlags = {
  config: ["FILE.json", "the model's config; none for a program"],
  weights: ["FORMAT", "with --config: as what matrices are stored: q4_k, q8_0, … (default: bf16)"],
  checkpoint: ["DIR|FILE.gguf|NAME", "a checkpoint's config and formats instead; FILE.ts may be left out then"],
  target: [targetNames.join("|"), `what to compile for (default: ${defaultTarget})`],
} as const satisfies CommandTable["flags"]

const compileFlags = {
  ...subjectFlags,
  precision: [precisionNames.join("|"), `fast: cache and long rows in bf16 (default: ${defaultPrecision})`],
  context,
  tuned: ["FILE", "schedules that weft tune wrote (default: none)"],
} as const satisfies CommandTable["flags"]

const tokens: FlagHelp = ["5,17,3", "token ids in the place of a prompt"]

const answerFlags = {
  "max-tokens": ["N", "tokens of the answer at most"],
  temperature: ["T", "0: the likeliest token each time"],
  "top-k": ["K", "draw among the K likeliest tokens; 0: among all"],
  "top-p": ["P", "draw among the likeliest tokens that make up P of the chances"],
  "min-p": ["P", "draw among tokens at least P times as likely as the likeliest"],
  seed: ["N", "the same seed tells the same story on the same device"],
  stop: ["TEXT", "end before TEXT; may be repeated"],
} as const satisfies CommandTable["flags"]

export const commands = {
  generate: {
    words: "[PROMPT]",
    about: "continue a text; without one, tell a story",
    flags: {
      ...loadFlags,
      ...answerFlags,
      tokens,
      "ignore-eos": ["", "go on after the end token"],
      json: ["", "one JSON object in the place of the text"],
    },
  },
  chat: {
    words: "",
    about: "a conversation with a model that is made for some; each line of the input is a turn",
    flags: {
      ...loadFlags,
      ...answerFlags,
      system: ["TEXT", "what the model is told before the conversation"],
      "no-thinking": ["", "answer without thinking first, where the model's template has that"],
      "drop-oldest": ["", "leave the oldest turns out where the context has no room (default: refuse)"],
    },
  },
  pull: {
    words: "NAME[:Q4_K_M][@REVISION]",
    about: "fetch a checkpoint from the Hugging Face Hub, or what is new of it, and print its folder or GGUF file",
    flags: {},
  },
  quantize: {
    words: "DIR|FILE.gguf|NAME",
    about: "write a model in fewer bits as a GGUF file, and tell how far it is from the one that it was made of",
    flags: {
      to: [
        targets.join("|"),
        "the type of matrices: so many bits a weight, with a scale of each 32 or 256;\nmixed: q4_k, with q6_k where it matters most. Embedding and head have more bits",
      ],
      out: ["FILE.gguf", "where to write"],
      text: ["FILE", "the text on which both are compared (default: one that is built in)"],
      "max-tokens": ["N", "tokens of the text at most (default: 1024)"],
      "no-compare": ["", "leave the comparison out, which runs both models"],
      ...deviceFlags,
      json: ["", "one JSON object in the place of the table"],
    },
  },
  logits: {
    words: "",
    about: "write the logits of every position to a file",
    flags: { ...loadFlags, tokens: ["5,17,3", "token ids"], out: ["FILE.safetensors", "where to write"] },
  },
  bench: {
    words: "",
    about: "measure how fast prompts are read and tokens generated",
    flags: {
      ...loadFlags,
      config: ["FILE.json", "a config in the place of a checkpoint, with random weights"],
      "random-weights": ["", "with --config: weights that are made up, the same for the same seed"],
      weights: ["FORMAT", "as what matrices of random weights are stored: q4_k, q8_0, … (default: bf16)"],
      seed: ["N", "of the random weights (default: 0)"],
      "no-cache": ["", "as always here: compiling is part of what is measured"],
      repetitions: ["N", "runs of each row, 5 or more (default: 5); fewer where they take long"],
      temperature: ["T", "of the rows whose tokens are drawn (default: 0.8)"],
      "top-k": ["K", "of the same rows (default: 40)"],
      "top-p": ["P", "of the same rows (default: 0.95)"],
      "min-p": ["P", "of the same rows (default: 0)"],
      profile: ["", "the time of each kernel of a step, too, by the device's own clock (cuda)"],
      "first-token": ["", "only the milliseconds from the start of the process to the first token"],
      json: ["", "one JSON object in the place of the table"],
    },
  },
  doctor: {
    words: "",
    about: "print what was found of each device, compiler and library, where, and what to install",
    flags: { "experimental-gpu": experimental, json: ["", "one JSON object in the place of the text"] },
  },
  tune: {
    words: "[FILE.ts]",
    about: "measure schedules on the device, and keep the ones that beat the heuristics",
    flags: {
      model: ["DIR|FILE.gguf|NAME", "a checkpoint, as above (default: the one that is shipped, when no file is named)"],
      config: ["FILE.json", "the config, when a model's file is named"],
      ...deviceFlags,
      threads: ["N", "threads of the WebAssembly device (default: 1)"],
      precision,
      context,
      entries: ["prefill,step", "entry points to measure (default: prefill, step and greedy)"],
      kernels: ["REGEX", "kernels to measure, by name (default: all that take 1 % of an entry's time)"],
      budget: ["SECONDS", "time to measure in (default: 60)"],
      out: ["FILE", "where to write (default: the package's compiler/schedule/tuned/<device>.json)"],
      json: ["", "one JSON object in the place of the table"],
    },
  },
  check: {
    words: "FILE.ts [FILE.ts …]",
    about: "report what compiling would, as tsc prints it; a model without a config is read, not traced",
    flags: {
      ...subjectFlags,
      checkpoint: ["DIR|FILE.gguf|NAME", "a checkpoint's config and formats instead"],
      watch: ["", "check again whenever a file changes"],
    },
  },
  compile: {
    words: "FILE.ts",
    about: "write the artifact of a model: kernels, plan and map of the weights",
    flags: {
      ...compileFlags,
      arch: [
        "sm_90a,sm_80,…",
        "for cuda: a binary of all kernels for each, by NVRTC or nvcc; compute_80 is PTX,\nwhich drivers bring to what came later (default: none, GPUs compile the text)",
      ],
      out: ["FILE", "where to write the artifact as JSON; for cuda a folder: artifact.json and kernels/*.cu"],
    },
  },
  explain: {
    words: "FILE.ts",
    about: "write a page that shows how a model becomes kernels, and what they cost",
    flags: {
      ...compileFlags,
      seq: ["N", "tokens of the prompt that is explained (default: 512)"],
      past: ["N", "tokens before the one that is explained (default: 1024)"],
      device: [
        "NAME",
        `compiled for, and least and estimated times on: ${Object.keys(devices).join(", ")};\nfor webgpu and cuda the first one when left out`,
      ],
      measured: ["FILE.json", "measured microseconds of a launch, by the name of the kernel"],
      out: ["FILE", "where to write the page as HTML"],
      json: [
        "",
        'the facts as one JSON object. kernelsPerLayer counts the launches of a step for\neach unit that it calls: "moe" are units that pick members of a weight by indices\nthat they compute, "dense" the others; the largest of each kind.\nentries: what a run of each costs; kernels: one launch, with the lanes that do work\nof their own, the steps of one lane, an estimated time and why it is long',
      ],
    },
  },
} as const satisfies Readonly<Record<string, CommandTable>>

export type CommandName = keyof typeof commands

export const commandNames = Object.keys(commands) as readonly CommandName[]

/** The flags that a command takes. */
export const flagsOf = (name: CommandName): readonly Flag[] => Object.keys(commands[name].flags) as Flag[]
