# The guest program: dirties memory at a set rate and proves that none was lost.
#
# It is entered in 64-bit flat mode at its first byte, without paging and without
# interrupts; every reference is relative to RIP, so that the image may be mapped
# anywhere.  README.md states the parameter block, the memory map, the ports and the
# chain: tests/oracle.py recomputes the chain from that text alone, so a change here
# is a change there.
#
# Rule 1: chain and n are functions of the parameters only, never of time.
# Rule 2: a heartbeat line is formatted whole before its first byte is sent.
    .intel_syntax noprefix
    .code64
    .text

    .set STATE, 0x8000          # the loop's variables
    .set LINE, 0x9000           # the line being formatted
    .set TEXT_SUMS, 0xa000      # second sum of the text at each of 256 rotations
    .set SECTOR_OUT, 0xc000
    .set SECTOR_IN, 0xc200
    .set STACK, 0x7000
    .set LOW_BASE, 0x100000     # page 0 of the data
    .set DICTIONARY, 4096       # offset in the image

    .set N, 0                   # offsets in STATE
    .set CHAIN, 8
    .set BAD, 16
    .set TOKENS, 24             # bytes that may be dirtied now, times 1000
    .set LAST_MS, 32
    .set NEXT_HEARTBEAT, 40
    .set SWEEP, 48
    .set POSITION, 56           # operations done in this sweep
    .set PAGE, 64               # page of the next operation
    .set HIGH_PAIRS, 72         # pages that lie above 4 GiB
    .set DISK_LEFT, 80          # operations until the next disk operation
    .set DISK_M, 88
    .set COLD_LEFT, 96
    .set COLD_PAGE, 104
    .set FOLD, 112              # what this operation adds to the chain

    .set PORT_MS_LOW, 0x800
    .set PORT_MS_HIGH, 0x804
    .set PORT_BUTTON, 0x808
    .set PORT_POWER, 0x80c
    .set PORT_LOW_PAGES, 0x810
    .set PORT_HIGH_PAGES, 0x814
    .set PORT_LBA, 0x900
    .set PORT_ADDRESS, 0x904
    .set PORT_ADDRESS_HIGH, 0x908
    .set PORT_SECTORS, 0x90c
    .set PORT_COMMAND, 0x910
    .set PORT_STATUS, 0x914
    .set PORT_CAPACITY, 0x918

    .set COST, 4096000          # tokens of one page
    .set BURST_MS, 200
    .set BATCH, 16              # operations between two looks at the clock

start:
    jmp boot

    .org 16
magic:        .ascii "MICROVM1"
version:      .quad 1
seed:         .quad 0
rate:         .quad 0
set_pages:    .quad 0
fill_pages:   .quad 0
stride:       .quad 0
zero_below:   .quad 0
text_below:   .quad 0
flags:        .quad 0           # 1 toggle, 2 disk
heartbeat_ms: .quad 0
disk_sectors: .quad 0
disk_every:   .quad 0
cold_every:   .quad 0

    .org 160
boot:
    mov esp, STACK
    mov r15d, STATE
    lea r14, [rip + start]
    sti
    lea rsi, [rip + boot_text]
    call line_begin
    mov rax, [rip + seed]
    call put_decimal
    lea rsi, [rip + set_text]
    call put_text
    mov rax, [rip + set_pages]
    call put_decimal
    lea rsi, [rip + fill_text]
    call put_text
    mov rax, [rip + fill_pages]
    call put_decimal
    call line_end

    # pages above 4 GiB: as many as there are, at most every second one
    mov edx, PORT_HIGH_PAGES
    in eax, dx
    mov rcx, [rip + fill_pages]
    shr rcx, 1
    cmp rax, rcx
    cmova rax, rcx
    mov [r15 + HIGH_PAIRS], rax
    mov rcx, [rip + fill_pages]
    sub rcx, rax
    mov edx, PORT_LOW_PAGES
    in eax, dx
    sub rax, LOW_BASE >> 12
    jb too_small
    cmp rcx, rax
    ja too_small

    test qword ptr [rip + flags], 2
    jz 1f
    mov edx, PORT_CAPACITY
    in eax, dx
    cmp rax, [rip + disk_sectors]
    jb no_disk
1:
    call make_text_sums

    xor r12d, r12d
fill_page:
    cmp r12, [rip + fill_pages]
    jae filled
    test r12d, 255              # a guest can only be stopped where it reads a port
    jnz 1f
    mov edx, PORT_BUTTON
    in eax, dx
1:
    mov rdi, r12
    xor esi, esi
    call page_hash
    mov rbp, rax
    shr rax, 32
    cmp rax, [rip + zero_below]
    jb 1f                       # memory is zero at boot, and stays untouched
    mov rdi, r12
    call page_address
    mov rax, rbp
    call write_page
1:
    inc r12
    jmp fill_page

filled:
    lea rsi, [rip + filled_text]
    call line_begin
    call read_ms
    mov [r15 + LAST_MS], rax
    mov [r15 + NEXT_HEARTBEAT], rax
    call put_decimal
    call line_end

    mov rax, [rip + seed]
    call mix
    mov [r15 + CHAIN], rax
    mov rax, [rip + set_pages]
    mov [r15 + COLD_PAGE], rax
    call begin_sweep

loop:
    mov edx, PORT_BUTTON
    in eax, dx
    test al, 1
    jnz power_off
    call read_ms
    mov rbx, rax
    call add_tokens
    cmp rbx, [r15 + NEXT_HEARTBEAT]
    jb 1f
    call heartbeat
1:
    mov r13d, BATCH
2:
    mov rax, [r15 + TOKENS]
    sub rax, COST
    jb 3f
    mov [r15 + TOKENS], rax
    call operation
    dec r13d
    jnz 2b
    jmp loop
3:
    hlt
    jmp loop

power_off:
    lea rsi, [rip + off_text]
    call line_begin
    mov rax, [r15 + N]
    call put_decimal
    call line_end
    mov edx, PORT_POWER
    mov eax, 2
    out dx, eax
    jmp stop

too_small:
    lea rsi, [rip + small_text]
    jmp panic
no_disk:
    lea rsi, [rip + disk_text]
panic:
    call line_begin
    call line_end
stop:
    cli
    hlt
    jmp stop

# rax = guest milliseconds
read_ms:
    mov edx, PORT_MS_LOW
    in eax, dx
    mov ecx, eax
    mov edx, PORT_MS_HIGH
    in eax, dx
    shl rax, 32
    or rax, rcx
    ret

# rbx = now: what the time since the last look allows, capped at BURST_MS worth of it
add_tokens:
    mov rax, rbx
    sub rax, [r15 + LAST_MS]
    mov [r15 + LAST_MS], rbx
    cmp rax, 1000
    jbe 1f
    mov eax, 1000
1:
    imul rax, [rip + rate]
    add rax, [r15 + TOKENS]
    imul rcx, [rip + rate], BURST_MS
    cmp rcx, COST
    jae 2f
    mov ecx, COST
2:
    cmp rax, rcx
    cmova rax, rcx
    mov [r15 + TOKENS], rax
    ret

# rbx = now
heartbeat:
    mov rax, [r15 + NEXT_HEARTBEAT]
    add rax, [rip + heartbeat_ms]
    cmp rax, rbx
    ja 1f
    mov rax, rbx
    add rax, [rip + heartbeat_ms]
1:
    mov [r15 + NEXT_HEARTBEAT], rax
    lea rsi, [rip + n_text]
    call line_begin
    mov rax, [r15 + N]
    call put_decimal
    lea rsi, [rip + chain_text]
    call put_text
    mov rax, [r15 + CHAIN]
    call put_hex
    lea rsi, [rip + bad_text]
    call put_text
    mov rax, [r15 + BAD]
    call put_decimal
    call line_end
    mov edx, 0x3fd              # a byte from outside is answered with its value
    in al, dx
    test al, 1
    jz 2f
    lea rsi, [rip + rx_text]
    call line_begin
    mov edx, 0x3f8
    in al, dx
    movzx eax, al
    call put_decimal
    call line_end
2:
    ret

# one operation: verify the old page, fold it, write the new page
operation:
    mov qword ptr [r15 + FOLD], 1
    mov rdi, [r15 + PAGE]
    mov rsi, [r15 + SWEEP]
    mov cl, 17
    call verify_page
    mov rdi, [r15 + PAGE]
    mov rsi, [r15 + SWEEP]
    inc rsi
    call page_hash
    mov rbp, rax
    mov rdi, [r15 + PAGE]
    call page_address
    mov rax, rbp
    call write_page

    cmp qword ptr [rip + cold_every], 0
    je 2f
    dec qword ptr [r15 + COLD_LEFT]
    jg 2f
    mov rax, [rip + cold_every]
    mov [r15 + COLD_LEFT], rax
    mov rdi, [r15 + COLD_PAGE]
    xor esi, esi
    mov cl, 29
    call verify_page
    mov rax, [r15 + COLD_PAGE]
    inc rax
    cmp rax, [rip + fill_pages]
    jb 1f
    mov rax, [rip + set_pages]
1:
    mov [r15 + COLD_PAGE], rax
2:
    test qword ptr [rip + flags], 2
    jz 3f
    dec qword ptr [r15 + DISK_LEFT]
    jg 3f
    mov rax, [rip + disk_every]
    mov [r15 + DISK_LEFT], rax
    call disk_operation
3:
    mov rax, 0xd6e8feb86659fd93
    imul rax, [r15 + CHAIN]
    add rax, [r15 + FOLD]
    mov [r15 + CHAIN], rax
    inc qword ptr [r15 + N]
    mov rax, [r15 + PAGE]
    add rax, [rip + stride]
    cmp rax, [rip + set_pages]
    jb 4f
    sub rax, [rip + set_pages]
4:
    mov [r15 + PAGE], rax
    mov rax, [r15 + POSITION]
    inc rax
    mov [r15 + POSITION], rax
    cmp rax, [rip + set_pages]
    jb 5f
    mov qword ptr [r15 + POSITION], 0
    inc qword ptr [r15 + SWEEP]
    call begin_sweep
5:
    ret

# the first page of a sweep is pseudo-random, the others follow by the stride
begin_sweep:
    mov rax, [rip + seed]
    not rax
    call mix
    add rax, [r15 + SWEEP]
    call mix
    xor edx, edx
    div qword ptr [rip + set_pages]
    mov [r15 + PAGE], rdx
    ret

# rax -> rax, one step of splitmix64; spoils rdx
mix:
    mov rdx, 0x9e3779b97f4a7c15
    add rax, rdx
    mov rdx, rax
    shr rdx, 30
    xor rax, rdx
    mov rdx, 0xbf58476d1ce4e5b9
    imul rax, rdx
    mov rdx, rax
    shr rdx, 27
    xor rax, rdx
    mov rdx, 0x94d049bb133111eb
    imul rax, rdx
    mov rdx, rax
    shr rdx, 31
    xor rax, rdx
    ret

# rdi = page, rsi = generation -> rax = the hash that determines its content
page_hash:
    test qword ptr [rip + flags], 1
    jz 1f
    and esi, 1
1:
    mov rax, [rip + seed]
    add rax, rdi
    call mix
    add rax, rsi
    jmp mix

# rdi = page -> rdi = its address
page_address:
    mov rax, [r15 + HIGH_PAIRS]
    lea rcx, [rax + rax]
    cmp rdi, rcx
    jae 2f
    shr rdi, 1
    jc 1f
    shl rdi, 12
    add rdi, LOW_BASE
    ret
1:
    shl rdi, 12
    mov eax, 1
    shl rax, 32
    add rdi, rax
    ret
2:
    sub rdi, rax
    shl rdi, 12
    add rdi, LOW_BASE
    ret

# rdi = address, rax = hash
write_page:
    mov rdx, rax
    shr rdx, 32
    cmp rdx, [rip + zero_below]
    jb write_zero
    cmp rdx, [rip + text_below]
    jb write_text
    mov rbx, rax
    call mix
    or rax, 1
    xchg rax, rbx
    mov ecx, 32
1:
    .set i, 0
    .rept 16
    mov [rdi + i], rax
    add rax, rbx
    .set i, i + 8
    .endr
    sub rdi, -128
    dec ecx
    jnz 1b
    ret
write_zero:
    xor eax, eax
    mov ecx, 32
1:
    .set i, 0
    .rept 16
    mov [rdi + i], rax
    .set i, i + 8
    .endr
    sub rdi, -128
    dec ecx
    jnz 1b
    ret
write_text:
    movzx esi, al
    lea rsi, [r14 + rsi * 8 + DICTIONARY]
    call mix
    mov rbx, 0x0303030303030303
    and rbx, rax
    mov ecx, 32
1:
    .set i, 0
    .rept 16
    mov rax, [rsi + i]
    add rax, rbx
    mov [rdi + i], rax
    .set i, i + 8
    .endr
    sub rsi, -128
    sub rdi, -128
    dec ecx
    jnz 1b
    ret

# rdi = page, rsi = generation, cl = rotation: sums what is there, counts it as bad
# unless both sums are those of the right content, and folds what is there
verify_page:
    push rcx
    mov r12, rdi
    call page_hash
    mov rbp, rax
    mov rdi, r12
    call page_address
    mov ecx, 32
    call sum_words
    mov rax, rbp
    call expected_sums
    cmp rax, r8
    jne 1f
    cmp rbx, r9
    je 2f
1:
    inc qword ptr [r15 + BAD]
2:
    pop rcx
fold:
    rol r9, cl
    xor r9, r8
    add [r15 + FOLD], r9
    ret

# rdi = address, ecx = words / 16 -> r8 = sum of the words, r9 = sum of the running sums
sum_words:
    xor r8d, r8d
    xor r9d, r9d
1:
    .set i, 0
    .rept 16
    add r8, [rdi + i]
    add r9, r8
    .set i, i + 8
    .endr
    sub rdi, -128
    dec ecx
    jnz 1b
    ret

# rax = hash -> rax, rbx = the sums that its content must have
expected_sums:
    mov rdx, rax
    shr rdx, 32
    cmp rdx, [rip + zero_below]
    jb 1f
    cmp rdx, [rip + text_below]
    jb 2f
    mov rcx, rax
    call mix
    or rax, 1
    imul rdx, rcx, 512
    imul rbx, rax, 130816
    add rdx, rbx
    imul rcx, rcx, 131328
    imul rbx, rax, 22369536
    add rbx, rcx
    mov rax, rdx
    ret
1:
    xor eax, eax
    xor ebx, ebx
    ret
2:
    movzx ecx, al
    call mix
    mov rdx, 0x0303030303030303
    and rax, rdx
    imul rbx, rax, 131328
    add rbx, [rcx * 8 + TEXT_SUMS]
    shl rax, 9
    add rax, [TEXT_SUMS + 2048]
    ret

# the two sums of the dictionary, the second one at every rotation
make_text_sums:
    xor r12d, r12d
1:
    lea rdi, [r14 + r12 * 8 + DICTIONARY]
    mov ecx, 32
    call sum_words
    mov [r12 * 8 + TEXT_SUMS], r9
    inc r12d
    cmp r12d, 256
    jb 1b
    mov [TEXT_SUMS + 2048], r8
    ret

# write sector m of the ring, read an earlier one back and fold it
disk_operation:
    mov r12, [r15 + DISK_M]
    inc qword ptr [r15 + DISK_M]
    mov rax, r12
    call sector_content
    mov r10, rcx
    mov edi, SECTOR_OUT
    mov ecx, 64
1:
    mov [rdi], r10
    add r10, rax
    add rdi, 8
    dec ecx
    jnz 1b
    mov rdi, r12
    mov ebx, SECTOR_OUT
    mov ecx, 2
    call transfer
    mov rcx, r12
    test rcx, rcx
    jz 3f
    mov rbx, [rip + disk_sectors]
    dec rbx
    cmp rcx, rbx
    cmova rcx, rbx
    mov rax, r12
    call mix
    xor edx, edx
    div rcx
    sub r12, rdx
    dec r12
3:
    mov rdi, r12
    mov ebx, SECTOR_IN
    mov ecx, 1
    call transfer
    mov edi, SECTOR_IN
    mov ecx, 4
    call sum_words
    mov rax, r12
    call sector_content
    imul rdx, rcx, 64
    imul rbx, rax, 2016
    add rdx, rbx
    cmp rdx, r8
    jne 4f
    imul rdx, rcx, 2080
    imul rbx, rax, 43680
    add rdx, rbx
    cmp rdx, r9
    je 5f
4:
    inc qword ptr [r15 + BAD]
5:
    mov cl, 41
    jmp fold

# rax = m -> rcx = first word, rax = step
sector_content:
    mov rcx, rax
    mov rax, [rip + seed]
    mov rdx, 0x6469736b6469736b
    xor rax, rdx
    call mix
    add rax, rcx
    call mix
    mov rcx, rax
    call mix
    or rax, 1
    ret

# rdi = m, ebx = address, ecx = command; spoils rax, rdx and the sector if it failed
transfer:
    mov rax, rdi
    xor edx, edx
    div qword ptr [rip + disk_sectors]
    mov eax, edx
    mov edx, PORT_LBA
    out dx, eax
    mov eax, ebx
    mov edx, PORT_ADDRESS
    out dx, eax
    xor eax, eax
    mov edx, PORT_ADDRESS_HIGH
    out dx, eax
    mov eax, 1
    mov edx, PORT_SECTORS
    out dx, eax
    mov eax, ecx
    mov edx, PORT_COMMAND
    out dx, eax
    mov edx, PORT_STATUS
    in eax, dx
    test eax, eax
    jz 1f
    not qword ptr [rbx]
1:
    ret

# lines: r11 = where the next byte goes
line_begin:
    mov r11d, LINE
put_text:
    lodsb
    test al, al
    jz 1f
    mov [r11], al
    inc r11
    jmp put_text
1:
    ret

put_decimal:
    mov r10d, 10
    xor ecx, ecx
1:
    xor edx, edx
    div r10
    push rdx
    inc ecx
    test rax, rax
    jnz 1b
2:
    pop rdx
    add dl, '0'
    mov [r11], dl
    inc r11
    dec ecx
    jnz 2b
    ret

put_hex:
    mov rdx, rax
    mov ecx, 16
1:
    rol rdx, 4
    mov eax, edx
    and eax, 15
    cmp al, 10
    jb 2f
    add al, 'a' - '0' - 10
2:
    add al, '0'
    mov [r11], al
    inc r11
    dec ecx
    jnz 1b
    ret

line_end:
    mov byte ptr [r11], '\n'
    inc r11
    mov r10d, LINE
    mov edx, 0x3f8
1:
    mov al, [r10]
    out dx, al
    inc r10
    cmp r10, r11
    jb 1b
    ret

boot_text:    .asciz "BOOT seed="
set_text:     .asciz " set="
fill_text:    .asciz " fill="
filled_text:  .asciz "FILLED ms="
n_text:       .asciz "HB n="
chain_text:   .asciz " chain="
bad_text:     .asciz " bad="
rx_text:      .asciz "RX byte="
off_text:     .asciz "POWEROFF n="
small_text:   .asciz "PANIC the pages to fill do not fit"
disk_text:    .asciz "PANIC the disk is too small"
