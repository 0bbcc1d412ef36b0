# The guest program of the micro-VM (microvm/guest/program.S) on a PC: a Multiboot image that
# QEMU's -kernel starts.
#
# The program's ports are those of the micro-VM. Here they are calls: reading and writing a port
# goes to code that does the same with a PC's timer, power button, memory and virtio-blk disk (the
# legacy interface, polled). Waiting is for the next tick of the timer, the only interrupt.
#
# All of it is loaded at LOAD, below the program's data, which begins at 1 MiB.
    .intel_syntax noprefix

    .set LOAD, 0x20000          # the program, page-aligned
    .set STUB, 0x24000          # this file's own code
    .set HEADER, 4000           # behind the program's code; QEMU looks in the first 8 KiB
    .set RING, 0x10000          # descriptors, available and used ring: 3 pages
    .set TABLES, 0x14000        # seven pages of page tables
    .set INTERRUPTS, 0x1b000    # their table
    .set TICK_VECTOR, 8         # where the BIOS has the timer
    .set TICK_DIVISOR, 11932    # 100 Hz
    .set PC, 0x1c000            # this file's variables
    .set LAST_TICK, PC
    .set TICKS, PC + 8
    .set MS_HIGH, PC + 16
    .set LOW_PAGES, PC + 24
    .set DISK_IO, PC + 32       # 0: no disk
    .set DISK_CAPACITY, PC + 40
    .set LBA, PC + 48
    .set ADDRESS, PC + 56
    .set STATUS, PC + 64
    .set AVAILABLE, PC + 72
    .set REQUEST, PC + 96       # type, reserved, sector; then the device's verdict
    .set VERDICT, PC + 112
    .set QUEUE_SIZE, PC + 120

    .set PM_EVENTS, 0x600       # where SeaBIOS puts the power management registers
    .set PM_ENABLED, 0x602      # of the events; only these are noted
    .set PM_CONTROL, 0x604
    .set PM_TIMER, 0x608        # 24 bits, 3579545 Hz
    .set POWER_BUTTON, 1 << 8
    .set SOFT_OFF, 1 << 13

# --- the program, its port instructions replaced ---------------------------------------------
    .macro in register, port
    .ifc \register,eax
    call read_port
    .else
    .byte 0xec
    .endif
    .endm
    .macro out port, register
    .ifc \register,eax
    call write_port
    .else
    .byte 0xee
    .endif
    .endm
    .macro sti
    .endm
    .macro hlt
    call wait_for_tick
    .endm

    .include "program.S"

    .purgem in
    .purgem out
    .purgem sti
    .purgem hlt

# --- Multiboot ---------------------------------------------------------------------------------
    .org HEADER
header:
    .long 0x1badb002, 0x10002, -(0x1badb002 + 0x10002)
    .long LOAD + (header - start), LOAD, LOAD + (image_end - start), 0
    .long LOAD + (entry - start)

    .org STUB - LOAD            # the ROM's dictionary is put in between
    .code32
entry:
    cli
    mov esp, 0x7000
    mov ecx, [ebx + 8]          # KiB above 1 MiB
    shr ecx, 2
    add ecx, 256
    xor eax, eax
    mov edi, TABLES
    push ecx
    mov ecx, (PC + 4096 - TABLES) / 4
    rep stosd
    pop ecx
    mov [LOW_PAGES], ecx

    # identity, 5 GiB in pages of 2 MiB
    mov dword ptr [TABLES], TABLES + 0x1003
    mov edi, TABLES + 0x1000
    mov eax, TABLES + 0x2003
    mov ecx, 5
1:
    mov [edi], eax
    add eax, 0x1000
    add edi, 8
    loop 1b
    mov edi, TABLES + 0x2000
    mov eax, 0x83
    xor edx, edx
    mov ecx, 5 * 512
1:
    mov [edi], eax
    mov [edi + 4], edx
    add eax, 0x200000
    adc edx, 0
    add edi, 8
    loop 1b
    mov eax, cr4
    or eax, 0x20
    mov cr4, eax
    mov eax, TABLES
    mov cr3, eax
    mov ecx, 0xc0000080
    rdmsr
    or eax, 0x100
    wrmsr
    mov eax, cr0
    or eax, 0x80000000
    mov cr0, eax
    lgdt [LOAD + (gdt_place - start)]
    .byte 0xea                  # far jump into the 64-bit segment
    .long LOAD + (long_mode - start)
    .word 8

    .balign 8
gdt:
    .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdt_place:
    .word 23
    .long LOAD + (gdt - start), 0

interrupts_place:
    .word (TICK_VECTOR + 1) * 16 - 1
    .long INTERRUPTS, 0

    .code64
long_mode:
    mov eax, 16
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov esp, 0x7000
    mov dx, PM_TIMER
    in eax, dx
    and eax, 0xffffff
    mov [LAST_TICK], eax
    mov dx, PM_ENABLED
    mov ax, POWER_BUTTON
    out dx, ax
    call start_timer
    call find_disk
    jmp start

start_timer:
    mov eax, LOAD + (tick - start)
    mov [INTERRUPTS + TICK_VECTOR * 16], ax
    shr eax, 16
    mov [INTERRUPTS + TICK_VECTOR * 16 + 6], ax
    mov dword ptr [INTERRUPTS + TICK_VECTOR * 16 + 2], 0x8e000008
    lidt [LOAD + (interrupts_place - start)]
    mov al, 0xfe                # the timer alone
    out 0x21, al
    mov al, 0xff
    out 0xa1, al
    mov al, 0x34
    out 0x43, al
    mov al, TICK_DIVISOR & 255
    out 0x40, al
    mov al, TICK_DIVISOR >> 8
    out 0x40, al
    ret

tick:
    push rax
    mov al, 0x20
    out 0x20, al
    pop rax
    iretq

wait_for_tick:
    sti
    hlt
    cli
    ret

# --- ports -------------------------------------------------------------------------------------
# edx = port -> eax; everything else is kept
read_port:
    cmp edx, 0x800
    je read_time
    cmp edx, 0x804
    je 1f
    cmp edx, 0x808
    je read_button
    cmp edx, 0x810
    je 2f
    cmp edx, 0x814
    je read_high_pages
    cmp edx, 0x914
    je 3f
    cmp edx, 0x918
    je 4f
    xor eax, eax
    ret
1:  mov eax, [MS_HIGH]
    ret
2:  mov eax, [LOW_PAGES]
    ret
3:  mov eax, [STATUS]
    ret
4:  mov eax, [DISK_CAPACITY]
    ret

# milliseconds since the boot, from a counter that wraps every 4.7 s
read_time:
    push rdx
    push rcx
    mov dx, PM_TIMER
    in eax, dx
    mov ecx, eax
    sub eax, [LAST_TICK]
    mov [LAST_TICK], ecx
    and eax, 0xffffff
    add rax, [TICKS]
    mov [TICKS], rax
    imul rax, rax, 1000
    xor edx, edx
    mov ecx, 3579545
    div rcx
    mov rcx, rax
    shr rcx, 32
    mov [MS_HIGH], ecx
    mov eax, eax
    pop rcx
    pop rdx
    ret

# from the clock's memory, in 64 KiB; what is mapped of it
read_high_pages:
    push rdx
    push rcx
    mov dx, 0x70
    mov al, 0x5c
    out dx, al
    mov dx, 0x71
    in al, dx
    movzx ecx, al
    shl ecx, 8
    mov dx, 0x70
    mov al, 0x5b
    out dx, al
    mov dx, 0x71
    in al, dx
    movzx eax, al
    or eax, ecx
    shl eax, 4
    mov ecx, 1 << 18
    cmp eax, ecx
    cmova eax, ecx
    pop rcx
    pop rdx
    ret

read_button:
    push rdx
    mov dx, PM_EVENTS
    in ax, dx
    and eax, POWER_BUTTON
    shr eax, 8
    pop rdx
    ret

# edx = port, eax = value
write_port:
    cmp edx, 0x900
    je 1f
    cmp edx, 0x904
    je 2f
    cmp edx, 0x910
    je disk_request
    cmp edx, 0x80c
    je power
    ret
1:  mov [LBA], eax
    ret
2:  mov [ADDRESS], eax
    ret

# 2 off, 1 reset
power:
    cmp eax, 1
    je 1f
    mov dx, PM_CONTROL
    mov ax, SOFT_OFF
    out dx, ax
    jmp power
1:  mov dx, 0xcf9
    mov al, 6
    out dx, al
    jmp 1b

# --- disk --------------------------------------------------------------------------------------
# the first virtio block device on the first bus
find_disk:
    mov ebx, 0x80000000
1:
    mov eax, ebx
    call read_config
    cmp eax, 0x10011af4
    je 2f
    add ebx, 0x800              # the next slot
    cmp ebx, 0x80010000
    jb 1b
    ret
2:
    lea eax, [rbx + 4]
    call read_config
    or eax, 5                   # ports, and access to memory
    out dx, eax
    lea eax, [rbx + 0x10]
    call read_config
    and eax, ~3
    mov [DISK_IO], eax
    mov edi, eax
    lea edx, [rdi + 18]
    xor eax, eax
    out dx, al
    mov al, 3
    out dx, al
    lea edx, [rdi + 4]
    xor eax, eax
    out dx, eax                 # no features
    lea edx, [rdi + 14]
    out dx, ax
    lea edx, [rdi + 12]
    in ax, dx
    mov [QUEUE_SIZE], ax
    lea edx, [rdi + 20]
    in eax, dx
    mov [DISK_CAPACITY], eax
    push rdi
    mov edi, RING
    mov ecx, 3 * 4096 / 8
    xor eax, eax
    rep stosq
    pop rdi
    mov dword ptr [RING], REQUEST
    mov dword ptr [RING + 8], 16
    mov dword ptr [RING + 12], 0x10001          # next, 1
    mov dword ptr [RING + 24], 512
    mov dword ptr [RING + 16 + 14], 2
    mov dword ptr [RING + 32], VERDICT
    mov dword ptr [RING + 40], 1
    mov word ptr [RING + 44], 2                 # written by the device
    movzx ecx, word ptr [QUEUE_SIZE]
    shl ecx, 4
    mov word ptr [RING + rcx], 1                # no interrupts
    lea edx, [rdi + 8]
    mov eax, RING >> 12
    out dx, eax
    lea edx, [rdi + 18]
    mov al, 7
    out dx, al
    ret

# eax = address in configuration space -> eax, dx = port of its data
read_config:
    mov dx, 0xcf8
    out dx, eax
    mov dx, 0xcfc
    in eax, dx
    ret

# eax = 1 read, 2 write
disk_request:
    push rdx
    push rcx
    push rdi
    push rbx
    mov edi, [DISK_IO]
    test edi, edi
    jnz 1f
    mov dword ptr [STATUS], 2
    jmp 4f
1:
    lea ecx, [rax - 1]
    mov [REQUEST], ecx
    mov eax, [LBA]
    mov [REQUEST + 8], rax
    mov eax, [ADDRESS]
    mov [RING + 16], rax
    mov eax, 3                                  # next, written by the device
    test ecx, ecx
    jz 2f
    mov eax, 1
2:
    mov [RING + 16 + 12], ax
    mov byte ptr [VERDICT], 0xff
    movzx ecx, word ptr [QUEUE_SIZE]
    shl ecx, 4
    movzx ebx, word ptr [AVAILABLE]
    inc ebx
    mov [AVAILABLE], bx
    mov [RING + rcx + 2], bx                    # the ring's entries are all chain 0
    mfence
    lea edx, [rdi + 16]
    xor eax, eax
    out dx, ax
    movzx edx, word ptr [QUEUE_SIZE]            # used ring: on the page behind descriptors
    lea ecx, [rcx + rdx * 2 + 6 + 4095]         # and available ring
    and ecx, ~4095
3:
    pause
    cmp [RING + rcx + 2], bx
    jne 3b
    movzx eax, byte ptr [VERDICT]
    mov [STATUS], eax
4:
    pop rbx
    pop rdi
    pop rcx
    pop rdx
    xor eax, eax
    ret

    .balign 4096
image_end:
