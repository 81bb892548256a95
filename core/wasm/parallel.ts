/**
 * Threads over one shared memory. Thread 0 is the host's; threads 1 … n−1 sit in `workerLoop`.
 *
 * A program is a list of commands in memory (written by hosts/cpu.ts from the kernel table), which thread 0 walks. A command
 * is cut into slices, and each thread takes the next one as it comes to it: a thread that is slower than another takes fewer,
 * one that still sleeps takes none, and nobody waits for it. Who takes a slice never changes a bit: an output element is
 * always computed whole by one slice, in the one order that its kernel states.
 *
 * A command: its number | words it takes << 8 | slices << 16, then its arguments.
 */
import { dispatch } from "./generated/dispatch";

// Control block, bytes: what changes with every command lies a cache line from what changes with every slice.
/** Threads inside the command (but thread 0) | OPEN while more may join | GENERATION · commands so far. */
const STATE: usize = 0;
/** Threads that went to sleep since thread 0 last woke them. */
const SLEEPERS: usize = 4;
/** Set while thread 0 sleeps until the others are out. */
const WAITING: usize = 8;
const STOP: usize = 12;
/** Set by a thread that died. */
const FAILED: usize = 16;
/** The next slice. */
const NEXT: usize = 64;
const COMMAND: usize = 128;
const SLICES: usize = 132;
const SCRATCH: usize = 136;
const SCRATCH_BYTES: usize = 140;

const MEMBERS: i32 = 0xff;
const OPEN: i32 = 0x100;
const GENERATION: i32 = 0x200;

/** Rounds of looking before a thread sleeps: some 50 µs, about what it takes to wake one. */
const SPIN: i32 = 50000;

let control: usize = 0;
let thread: i32 = 0;
let threads: i32 = 1;
/** What this thread works on. */
let slice: i32 = 0;
let slices: i32 = 1;

// V8's baseline compiler (seen in 11.3) loses values of locals at a wait or a notify: what is needed after one is a global.
/** The command that thread 0 is at, and how many are left with it. */
let place: usize = 0;
let left: u32 = 0;
/** The command that another thread was in last, as STATE says it. */
let joined: i32 = 0;
let idle: i32 = 0;

export function configure(controlBlock: usize, threadIndex: i32, threadCount: i32): void {
  control = controlBlock;
  thread = threadIndex;
  threads = threadCount;
}

/** Slices of this command. */
// @ts-ignore: decorator
@inline
export function sliceCount(): i32 {
  return slices;
}
/** Scratch of this thread alone. */
// @ts-ignore: decorator
@inline
export function threadScratch(): usize {
  return <usize>load<u32>(control + SCRATCH) + <usize>thread * <usize>load<u32>(control + SCRATCH_BYTES);
}

/** First item of this slice's contiguous share of n items (the share of slice s begins where that of s−1 ends). */
// @ts-ignore: decorator
@inline
export function shareStart(n: i32, grain: i32): i32 {
  const units = (n + grain - 1) / grain;
  return min(n, <i32>((<i64>units * slice) / slices) * grain);
}
// @ts-ignore: decorator
@inline
export function shareEnd(n: i32, grain: i32): i32 {
  const units = (n + grain - 1) / grain;
  return min(n, <i32>((<i64>units * (slice + 1)) / slices) * grain);
}

/** Takes slices of the command until none is left. */
function work(): void {
  const at = <usize>load<u32>(control + COMMAND);
  slices = load<i32>(control + SLICES);
  while (true) {
    slice = atomic.add<i32>(control + NEXT, 1);
    if (slice >= slices) return;
    dispatch(at);
  }
}

/** A thread that died never leaves its command: trap here too, rather than wait for ever. */
function trapIfFailed(): void {
  if (atomic.load<i32>(control + FAILED)) unreachable();
}

/** Thread 0 waits until the others have left the command that it closed. */
function waitForMembers(): void {
  for (let i = 0; i < SPIN; i++) {
    if ((atomic.load<i32>(control + STATE) & MEMBERS) == 0) return;
  }
  while (true) {
    trapIfFailed();
    atomic.store<i32>(control + WAITING, 1);
    const state = atomic.load<i32>(control + STATE);
    if ((state & MEMBERS) == 0) break;
    atomic.wait<i32>(control + STATE, state, -1);
  }
  atomic.store<i32>(control + WAITING, 0);
}

/** The command at `place` on all threads that are awake. */
function together(): void {
  store<u32>(control + COMMAND, <u32>place);
  store<u32>(control + SLICES, load<u32>(place) >> 16);
  atomic.store<i32>(control + NEXT, 0);
  atomic.add<i32>(control + STATE, GENERATION + OPEN);
  if (atomic.load<i32>(control + SLEEPERS)) {
    atomic.store<i32>(control + SLEEPERS, 0);
    atomic.notify(control + STATE, -1);
  }
  work();
  atomic.sub<i32>(control + STATE, OPEN);
  waitForMembers();
}

/** Runs a program; called by thread 0, returns when every command is done. */
export function run(program: usize, count: u32): void {
  place = program;
  for (left = count; left > 0; left--) {
    if (load<u32>(place) >> 16 > 1) together();
    else {
      slice = 0;
      slices = 1;
      dispatch(place);
    }
    place += <usize>((load<u32>(place) >> 8) & 0xff) << 2;
  }
}

/** Where threads 1 … n−1 live. */
export function workerLoop(): void {
  while (true) {
    const state = atomic.load<i32>(control + STATE);
    if ((state & OPEN) != 0 && (state & ~MEMBERS) != joined) {
      idle = 0;
      if (atomic.cmpxchg<i32>(control + STATE, state, state + 1) != state) continue;
      joined = state & ~MEMBERS;
      work();
      const before = atomic.sub<i32>(control + STATE, 1);
      if ((before & (OPEN | MEMBERS)) == 1 && atomic.load<i32>(control + WAITING)) atomic.notify(control + STATE, -1);
    } else if (++idle > SPIN) {
      idle = 0;
      if (atomic.load<i32>(control + STOP)) return;
      atomic.add<i32>(control + SLEEPERS, 1);
      atomic.wait<i32>(control + STATE, state, -1);
    }
  }
}
