/**
 * Flags of the WebGPU interface by value: in Node they are no globals.
 */
export const bufferUsage = {
  mapRead: 0x1,
  mapWrite: 0x2,
  copySource: 0x4,
  copyTarget: 0x8,
  uniform: 0x40,
  storage: 0x80,
} as const
export const mapRead = 0x1
export const mapWrite = 0x2
export const computeStage = 0x4
/** Workgroups per dimension that every implementation dispatches. */
export const dispatchLimit = 65535
/** Bytes of the uniform buffer with the size symbols: 4096 of them, the least binding that every implementation allows. */
export const symbolBytes = 16384
