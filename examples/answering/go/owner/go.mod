module answering-owner

go 1.25

require github.com/yagura/yagura/sdk/go v0.1.0

replace github.com/yagura/yagura/sdk/go => ../../../../sdk/go
