#include "textflag.h"

// The offsets match the types in program.go.
#define STEP_SIZE 64
#define STEP_FLAGS 56
#define PROG_FAILED 8
#define PROG_ERRNO 16
#define PROG_STEPS 24
#define STEP_MAY_FAIL_BIT 0

#define SYS_clone3 435
#define SYS_exit 93

// func cloneAndRun(args *cloneArgs, size uintptr, prog *program) (r uintptr)
//
// The child shares the parent's memory and uses no stack: it only walks the steps
// in registers, so it can share the parent's stack pointer as well.
TEXT ·cloneAndRun(SB), NOSPLIT, $0-32
	MOVD args+0(FP), R0
	MOVD size+8(FP), R1
	MOVD prog+16(FP), R19
	MOVD $SYS_clone3, R8
	SVC
	CBZ  R0, child
	MOVD R0, r+24(FP)
	RET

child:
	ADD $PROG_STEPS, R19, R20

next:
	MOVD 0(R20), R8
	MOVD 8(R20), R0
	MOVD 16(R20), R1
	MOVD 24(R20), R2
	MOVD 32(R20), R3
	MOVD 40(R20), R4
	MOVD 48(R20), R5
	SVC
	CMN  $4095, R0
	BCS  failed // unsigned: -4095 and above are errors

advance:
	ADD $STEP_SIZE, R20
	B   next

failed:
	MOVD STEP_FLAGS(R20), R21
	TBNZ $STEP_MAY_FAIL_BIT, R21, advance
	NEG  R0, R0
	MOVD R0, PROG_ERRNO(R19)
	MOVD R20, PROG_FAILED(R19)
	MOVD $127, R0

dead:
	MOVD $SYS_exit, R8
	SVC
	BRK // a seccomp filter may forbid even exit
