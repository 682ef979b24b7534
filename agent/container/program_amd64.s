#include "textflag.h"

// The offsets match the types in program.go.
#define STEP_SIZE 64
#define STEP_FLAGS 56
#define PROG_FAILED 8
#define PROG_ERRNO 16
#define PROG_STEPS 24
#define STEP_MAY_FAIL 1
#define STEP_FORKS 2

#define SYS_clone3 435
#define SYS_exit 60

// func cloneAndRun(args *cloneArgs, size uintptr, prog *program) (r uintptr)
//
// The child shares the parent's memory and uses no stack: it only walks the steps
// in registers, so it can share the parent's stack pointer as well.
TEXT ·cloneAndRun(SB), NOSPLIT, $0-32
	MOVQ args+0(FP), DI
	MOVQ size+8(FP), SI
	MOVQ prog+16(FP), R12
	MOVQ $SYS_clone3, AX
	SYSCALL
	TESTQ AX, AX
	JZ child
	MOVQ AX, r+24(FP)
	RET

child:
	LEAQ PROG_STEPS(R12), R13

next:
	MOVQ 0(R13), AX
	MOVQ 8(R13), DI
	MOVQ 16(R13), SI
	MOVQ 24(R13), DX
	MOVQ 32(R13), R10
	MOVQ 40(R13), R8
	MOVQ 48(R13), R9
	SYSCALL
	CMPQ AX, $-4095
	JCC failed // unsigned: -4095 and above are errors
	MOVQ STEP_FLAGS(R13), BX
	TESTQ $STEP_FORKS, BX
	JNZ forked

advance:
	ADDQ $STEP_SIZE, R13
	JMP next

forked:
	MOVQ AX, BX
	XORQ DI, DI
	TESTQ BX, BX
	JNZ dead // with exit code 0: all that it was for is done
	MOVQ 24(R13), R12 // the new process' program
	JMP child

failed:
	MOVQ STEP_FLAGS(R13), BX
	TESTQ $STEP_MAY_FAIL, BX
	JNZ advance
	NEGQ AX
	MOVQ AX, PROG_ERRNO(R12)
	MOVQ R13, PROG_FAILED(R12)
	MOVQ $127, DI

dead:
	MOVQ $SYS_exit, AX
	SYSCALL
	UD2 // a seccomp filter may forbid even exit
